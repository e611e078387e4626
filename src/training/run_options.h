// A TrainingRun, whose fields are Axolotl's keys, as options of the trainer and of the data.
#pragma once

#include "powerhouse/training_run.h"

namespace powerhouse {

DatasetOptions dataset_options(const TrainingRun& run);
TrainingOptions training_options(const TrainingRun& run);

}  // namespace powerhouse
