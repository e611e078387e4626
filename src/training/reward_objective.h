// Training of reward models: pairs of texts, of which one is better.
#pragma once

#include <memory>
#include <optional>

#include "powerhouse/preference_dataset.h"
#include "powerhouse/preference_losses.h"
#include "powerhouse/sequence_classifier.h"
#include "training/objective.h"

namespace powerhouse {

/// Both must outlive the objective. Error{usage} for a head of more than one label, for rows that are no pairs and
/// where there are none.
std::unique_ptr<Objective> make_reward_objective(SequenceClassifier& model, PreferenceDataset train,
                                                 std::optional<PreferenceDataset> validation,
                                                 const RewardOptions& method, const TrainingOptions& options);

}  // namespace powerhouse
