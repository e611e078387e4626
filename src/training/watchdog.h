// Watches the loss: what is no number, what jumps, and what to do about it.
#pragma once

#include <cstdint>
#include <deque>
#include <string>

#include "powerhouse/training_options.h"
#include "support/json.h"

namespace powerhouse {

class Watchdog {
 public:
  enum class Verdict { good, skip, roll_back };

  explicit Watchdog(const LossWatchdog& options) : options_(options) {}

  /// Of a step that is not applied yet. `reason` says why it must not be. Error{numeric} where there is no hope.
  Verdict judge(double loss, std::string& reason);
  /// The step of that loss was not applied after all: its gradients are not finite.
  void not_finite(const std::string& what);
  void applied() { not_finite_ = 0; }
  void rolled_back() { spikes_ = 0; }

  Json state() const;
  void restore(const Json& state);

 private:
  double median() const;

  LossWatchdog options_;
  std::deque<double> recent_;  // of good steps
  std::int64_t spikes_ = 0, not_finite_ = 0, rollbacks_ = 0;
};

}  // namespace powerhouse
