// A TrainingRun, whose fields are Axolotl's keys, as options of the trainer and of the data.
#pragma once

#include <optional>

#include "powerhouse/training_run.h"

namespace powerhouse {

DatasetOptions dataset_options(const TrainingRun& run);
TrainingOptions training_options(const TrainingRun& run);

/// An option keeps its default where the run does not say.
template <typename T, typename V>
void take_given(T& target, const std::optional<V>& value) {
  if (value) target = static_cast<T>(*value);
}

}  // namespace powerhouse
