#include "training/step_plan.h"

#include <algorithm>
#include <cmath>

#include "powerhouse/error.h"

namespace powerhouse {
namespace {

constexpr std::size_t kMostEpochs = 1'000'000;

std::int64_t divided_up(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

}  // namespace

StepPlan::StepPlan(const std::function<std::int64_t(std::int64_t)>& batches, double epochs, std::int64_t max_steps,
                   std::int64_t gradient_accumulation_steps) {
  std::int64_t begin = 0;
  const auto done = [&](std::int64_t epoch) {
    return max_steps > 0 ? begin >= max_steps : static_cast<double>(epoch) >= epochs;
  };
  for (std::int64_t epoch = 0; !done(epoch); ++epoch) {
    const std::int64_t steps = divided_up(batches(epoch), gradient_accumulation_steps);
    if (steps <= 0) throw Error(ErrorKind::usage, "an epoch without a batch", {.field = "data"});
    if (epochs_.size() == kMostEpochs) {
      throw Error(ErrorKind::usage, "more epochs than can be counted",
                  {.field = max_steps > 0 ? "max_steps" : "epochs", .expected = "at most a million epochs"});
    }
    epochs_.push_back({begin, steps});
    const double share = max_steps > 0 ? 1 : std::min(1.0, epochs - static_cast<double>(epoch));
    // 1e-9: 0.1 epochs of 10 steps are one step, whatever the last bit of 0.1 says.
    begin += static_cast<std::int64_t>(std::ceil(share * static_cast<double>(steps) - 1e-9));
  }
  total_ = max_steps > 0 ? max_steps : begin;
  if (total_ <= 0) throw Error(ErrorKind::usage, "no step to do", {.field = "epochs"});
}

std::size_t StepPlan::index_of(std::int64_t step) const {
  const auto next = std::lower_bound(epochs_.begin(), epochs_.end(), step,
                                     [](const Epoch& epoch, std::int64_t at) { return epoch.begin < at; });
  return next == epochs_.begin() ? 0 : static_cast<std::size_t>(next - epochs_.begin()) - 1;
}

double StepPlan::epoch(std::int64_t step) const {
  const std::size_t index = index_of(step);
  const Epoch& epoch = epochs_[index];
  return static_cast<double>(index) + static_cast<double>(step - epoch.begin) / static_cast<double>(epoch.steps);
}

bool StepPlan::due(const Cadence& cadence, std::int64_t step) const {
  if (cadence.steps > 0) {
    const double steps =
        cadence.steps < 1 ? std::ceil(cadence.steps * static_cast<double>(total_) - 1e-9) : cadence.steps;
    return step % std::max<std::int64_t>(1, static_cast<std::int64_t>(steps)) == 0;
  }
  if (cadence.per_epoch <= 0) return false;
  const Epoch& epoch = epochs_[index_of(step)];
  const std::int64_t done = step - epoch.begin;
  // Due where the number of whole shares of the epoch that are done grows.
  return done * cadence.per_epoch / epoch.steps > (done - 1) * cadence.per_epoch / epoch.steps;
}

}  // namespace powerhouse
