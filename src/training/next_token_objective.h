// The objective of every fine-tuning: the next token, by cross entropy over the rows' targets.
#pragma once

#include <memory>
#include <optional>

#include "powerhouse/dataset.h"
#include "training/objective.h"

namespace powerhouse {

/// The model must outlive it. Error{usage} where there are no rows to train on.
std::unique_ptr<Objective> make_next_token_objective(CausalLM& model, Dataset train, std::optional<Dataset> validation,
                                                     const TrainingOptions& options);

}  // namespace powerhouse
