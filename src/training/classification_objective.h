// Training of heads over sequences on labelled texts.
#pragma once

#include <memory>
#include <optional>

#include "powerhouse/classification_dataset.h"
#include "powerhouse/sequence_classifier.h"
#include "training/objective.h"

namespace powerhouse {

/// The model must outlive the objective. Error{usage} where head and data don't fit together, and without rows.
std::unique_ptr<Objective> make_classification_objective(SequenceClassifier& model, ClassificationDataset train,
                                                         std::optional<ClassificationDataset> validation,
                                                         const TrainingOptions& options);

}  // namespace powerhouse
