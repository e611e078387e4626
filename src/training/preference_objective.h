// The objective of training on preferences: DPO, ORPO, KTO, CPO and their kin.
#pragma once

#include <memory>
#include <optional>

#include "powerhouse/preference.h"
#include "powerhouse/preference_dataset.h"
#include "training/objective.h"

namespace powerhouse {

/// Model and reference model must outlive it. Error{usage} for data of another shape than the method takes, and for
/// options that don't fit together.
std::unique_ptr<Objective> make_preference_objective(CausalLM& model, PreferenceDataset train,
                                                     std::optional<PreferenceDataset> validation,
                                                     PreferenceOptions method, AlignmentOptions alignment,
                                                     const TrainingOptions& options);

}  // namespace powerhouse
