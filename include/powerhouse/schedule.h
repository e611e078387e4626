// Learning rate schedules: pure functions of the step, by transformers' formulas (get_*_schedule).
#pragma once

#include <cstdint>
#include <string_view>

#include "powerhouse/export.h"

namespace powerhouse {

enum class ScheduleKind : std::uint8_t {
  constant,              ///< no warm-up either
  constant_with_warmup,  ///<
  linear,                ///< down to min_lr_ratio at the last step
  cosine,                ///< half a cosine (Loshchilov and Hutter 2017) down to min_lr_ratio
  wsd,                   ///< warm-up, stable, decay (Hu et al. 2024): a cosine over the last decay_steps
};

/// The kind of a name: `constant`, `constant_with_warmup`, `linear`, `cosine`, `cosine_with_min_lr`,
/// `warmup_stable_decay`, `wsd`. Throws Error{usage} for an unknown name, Error{unsupported} for transformers' others.
POWERHOUSE_API ScheduleKind schedule_kind(std::string_view name);

struct ScheduleOptions {
  ScheduleKind kind = ScheduleKind::linear;
  std::int64_t warmup_steps = 0;      ///< the multiplier rises linearly from 0
  double warmup_ratio = 0;            ///< where warmup_steps is 0: this part of all steps, rounded up
  std::int64_t max_warmup_steps = 0;  ///< where warmup_ratio says more; 0: no bound
  double min_lr_ratio = 0;            ///< where linear, cosine and wsd end; wsd also begins there
  double num_cycles = 0.5;            ///< waves of the cosine
  std::int64_t decay_steps = 0;       ///< wsd
  double decay_ratio = 0.1;           ///< wsd, where decay_steps is 0: this part of all steps, rounded up
};

/// What the learning rate is multiplied by in step `step` (from 0) of `total_steps`. Throws Error{range} for negative
/// steps, ratios outside [0, 1] and a wsd whose warm-up and decay exceed the total.
POWERHOUSE_API double learning_rate_multiplier(const ScheduleOptions& options, std::int64_t step,
                                               std::int64_t total_steps);

}  // namespace powerhouse
