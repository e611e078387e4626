// The keys of a run that trains a head over sequences on labelled texts: model_type (a class
// ...ForSequenceClassification, as Axolotl names reward models' bases), num_labels, problem_type and id2label as
// transformers has them in config.json.
#pragma once

#include <optional>
#include <string>

#include "powerhouse/classification_dataset.h"
#include "powerhouse/sequence_classifier.h"
#include "powerhouse/training_run.h"
#include "training/run_config.h"

namespace powerhouse {

/// Whether a run trains a classifier on labelled texts; not a reward model.
bool classifies(const TrainingRun& run);

/// Error{format} naming `origin` for keys of classification without it, and for values that it does not take.
void check_classification(const TrainingRun& run, const std::string& origin);

/// A part of run_keys().
std::span<const RunKey> classification_keys();

/// `head`: what the base has already; its labels and problem type are the run's where the run names none. Error{usage}
/// where the run names others.
ClassificationDatasetOptions classification_dataset_options(const TrainingRun& run,
                                                            const std::optional<SequenceHead>& head);

}  // namespace powerhouse
