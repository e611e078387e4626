// What a run of transformers' or TRL's Trainer was told (`settings` of an oracle's runs.json), for ours.
#pragma once

#include "powerhouse/training_options.h"
#include "support/json.h"

namespace powerhouse::testing {

/// 20 steps in the data's order; two rows a micro batch and two of them a step, unless it says otherwise.
inline TrainingOptions options_of(const Json& settings) {
  TrainingOptions options{.learning_rate = settings.at("learning_rate").as_double(),
                          .epochs = 0,
                          .max_steps = 20,
                          .micro_batch_size = settings.integer_or("per_device_train_batch_size", 2),
                          .gradient_accumulation_steps = settings.integer_or("gradient_accumulation_steps", 2),
                          .shuffle = false};
  options.optimizer = AdamWOptions{.weight_decay = 0};
  options.max_grad_norm = 1;
  options.schedule = {.kind = schedule_kind(settings.string_or("lr_scheduler_type", "constant")),
                      .warmup_steps = settings.integer_or("warmup_steps", 0)};
  return options;
}

}  // namespace powerhouse::testing
