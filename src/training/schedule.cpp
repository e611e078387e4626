// Schedules by the formulas of transformers' get_*_schedule functions. A multiplier depends on the step alone, so that
// resuming needs no state of a schedule.
#include "powerhouse/schedule.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "powerhouse/error.h"

namespace powerhouse {
namespace {

constexpr double kPi = 3.14159265358979323846;

void check(bool good, std::string_view field, const std::string& expected, const std::string& found) {
  if (!good) {
    throw Error(ErrorKind::range, "learning rate schedule out of range",
                {.field = std::string(field), .expected = expected, .found = found});
  }
}

std::int64_t steps_of(std::int64_t steps, double ratio, std::int64_t total) {
  return steps > 0 ? steps : static_cast<std::int64_t>(std::ceil(ratio * static_cast<double>(total)));
}

double fraction(std::int64_t part, std::int64_t whole) {
  return static_cast<double>(part) / static_cast<double>(std::max<std::int64_t>(1, whole));
}

double above(double factor, double lowest) { return std::max(0.0, factor * (1 - lowest) + lowest); }

double wave(double progress, double cycles) { return 0.5 * (1 + std::cos(kPi * cycles * 2 * progress)); }

double warmup_stable_decay(const ScheduleOptions& options, std::int64_t step, std::int64_t warmup, std::int64_t total) {
  const std::int64_t decay = steps_of(options.decay_steps, options.decay_ratio, total);
  const std::int64_t stable = total - warmup - decay;
  check(stable >= 0, "decay_steps", "warm-up and decay within " + std::to_string(total) + " steps",
        std::to_string(warmup) + " + " + std::to_string(decay));
  if (step < warmup) return above(fraction(step, warmup), options.min_lr_ratio);
  if (step < warmup + stable) return 1;
  if (step >= total) return options.min_lr_ratio;
  return above(wave(fraction(step - warmup - stable, decay), options.num_cycles), options.min_lr_ratio);
}

}  // namespace

ScheduleKind schedule_kind(std::string_view name) {
  if (name == "constant") return ScheduleKind::constant;
  if (name == "constant_with_warmup") return ScheduleKind::constant_with_warmup;
  if (name == "linear") return ScheduleKind::linear;
  if (name == "cosine" || name == "cosine_with_min_lr") return ScheduleKind::cosine;
  if (name == "warmup_stable_decay" || name == "wsd") return ScheduleKind::wsd;
  constexpr std::string_view kOthers[] = {"cosine_with_restarts",
                                          "polynomial",
                                          "inverse_sqrt",
                                          "reduce_lr_on_plateau",
                                          "greedy",
                                          "cosine_warmup_with_min_lr",
                                          "one_cycle",
                                          "log_sweep",
                                          "rex"};
  const bool known = std::find(std::begin(kOthers), std::end(kOthers), name) != std::end(kOthers);
  throw Error(known ? ErrorKind::unsupported : ErrorKind::usage,
              known ? "this learning rate schedule is not supported" : "unknown learning rate schedule",
              {.field = "lr_scheduler",
               .expected = "constant, constant_with_warmup, linear, cosine, cosine_with_min_lr or warmup_stable_decay",
               .found = std::string(name)});
}

double learning_rate_multiplier(const ScheduleOptions& options, std::int64_t step, std::int64_t total_steps) {
  check(step >= 0, "step", "at least 0", std::to_string(step));
  check(total_steps >= 0, "total_steps", "at least 0", std::to_string(total_steps));
  check(options.warmup_steps >= 0, "warmup_steps", "at least 0", std::to_string(options.warmup_steps));
  check(options.max_warmup_steps >= 0, "max_warmup_steps", "at least 0", std::to_string(options.max_warmup_steps));
  check(options.decay_steps >= 0, "decay_steps", "at least 0", std::to_string(options.decay_steps));
  check(options.warmup_ratio >= 0 && options.warmup_ratio <= 1, "warmup_ratio", "0 to 1",
        std::to_string(options.warmup_ratio));
  check(options.decay_ratio >= 0 && options.decay_ratio <= 1, "decay_ratio", "0 to 1",
        std::to_string(options.decay_ratio));
  check(options.min_lr_ratio >= 0 && options.min_lr_ratio <= 1, "min_lr_ratio", "0 to 1",
        std::to_string(options.min_lr_ratio));
  check(std::isfinite(options.num_cycles), "num_cycles", "a number", std::to_string(options.num_cycles));
  if (options.kind == ScheduleKind::constant) return 1;
  std::int64_t warmup = steps_of(options.warmup_steps, options.warmup_ratio, total_steps);
  const bool bounded = options.warmup_steps == 0 && options.max_warmup_steps > 0;
  if (bounded) warmup = std::min(warmup, options.max_warmup_steps);
  if (options.kind == ScheduleKind::wsd) return warmup_stable_decay(options, step, warmup, total_steps);
  if (step < warmup) return fraction(step, warmup);
  if (options.kind == ScheduleKind::constant_with_warmup) return 1;
  if (options.kind == ScheduleKind::linear) {
    return above(std::max(0.0, fraction(total_steps - step, total_steps - warmup)), options.min_lr_ratio);
  }
  return above(wave(fraction(step - warmup, total_steps - warmup), options.num_cycles), options.min_lr_ratio);
}

}  // namespace powerhouse
