// The keys of a run that distils: what they mean together, its teacher, and the options of the method.
#pragma once

#include <optional>
#include <string>

#include "powerhouse/distillation.h"
#include "powerhouse/teacher_store.h"
#include "powerhouse/training_run.h"
#include "training/run_config.h"

namespace powerhouse {

/// Error{format} naming `origin` for keys of distillation without it, and for values that it does not take.
void check_distillation(const TrainingRun& run, const std::string& origin);

/// A part of run_keys().
std::span<const RunKey> distillation_keys();

DistillationOptions distillation_options(const TrainingRun& run);

/// The teacher of a run, and all that must live as long as its trainer.
struct RunTeacher {
  std::optional<CausalLM> model{};
  std::optional<TeacherStore> store{};
  std::optional<Dataset> data{};

  Teacher teacher() const;
};

/// Loads the teacher or, with kd_top_k, asks it about all rows of `datasets` once and lets it go.
RunTeacher run_teacher(const TrainingRun& run, const CausalLM& student, const Dataset& all);

}  // namespace powerhouse
