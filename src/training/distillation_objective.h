// The objective of distillation: cross entropy and a divergence from a teacher, at the rows that have a target.
#pragma once

#include <memory>
#include <optional>

#include "powerhouse/distillation.h"
#include "training/objective.h"

namespace powerhouse {

/// Error{usage, range, format} for a teacher, options and data that don't fit together.
std::unique_ptr<Objective> make_distillation_objective(CausalLM& student, Teacher teacher, Dataset train,
                                                       std::optional<Dataset> validation,
                                                       const DistillationOptions& method,
                                                       const TrainingOptions& options);

}  // namespace powerhouse
