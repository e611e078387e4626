// The keys of a run that trains on preferences: what they mean together, and as options of the trainer and of the data.
#pragma once

#include <string>

#include "powerhouse/preference.h"
#include "powerhouse/preference_dataset.h"
#include "powerhouse/training_run.h"

namespace powerhouse {

/// Error{format} naming `origin` for keys that the method does not have, and for values that it does not take.
void check_preference(const TrainingRun& run, const std::string& origin);

PreferenceOptions preference_options(const TrainingRun& run);
RewardOptions reward_options(const TrainingRun& run);
/// Without the reference model.
AlignmentOptions alignment_options(const TrainingRun& run);
PreferenceDatasetOptions preference_dataset_options(const TrainingRun& run);

}  // namespace powerhouse
