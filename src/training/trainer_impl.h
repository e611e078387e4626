// What a Trainer is inside: a model, an objective, and the plan of their steps.
#pragma once

#include <memory>

#include "powerhouse/trainer.h"
#include "training/objective.h"
#include "training/training_loop.h"

namespace powerhouse {

struct Trainer::Impl {
  TrainerParts parts;

  /// What every constructor of Trainer ends with. Error{usage} for options that make no sense, and where nothing
  /// requires gradients.
  static std::unique_ptr<Impl> make(CausalLM& model, std::unique_ptr<Objective> objective, TrainingOptions options,
                                    TrainingCallbacks callbacks);
};

}  // namespace powerhouse
