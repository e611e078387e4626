// Steps, epochs, and when something is due: pure arithmetic.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "powerhouse/training_options.h"

namespace powerhouse {

inline bool is_asked(const Cadence& cadence) { return cadence.steps > 0 || cadence.per_epoch > 0; }

class StepPlan {
 public:
  /// `batches(epoch)` micro batches make an epoch; the last step of an epoch may have fewer of them than the others.
  /// Error{usage} where nothing is to be done.
  StepPlan(const std::function<std::int64_t(std::int64_t)>& batches, double epochs, std::int64_t max_steps,
           std::int64_t gradient_accumulation_steps);

  std::int64_t total_steps() const { return total_; }
  /// Epochs done behind `step`, with their fraction.
  double epoch(std::int64_t step) const;
  /// Whether something of this cadence is due behind `step` (from 1).
  bool due(const Cadence& cadence, std::int64_t step) const;

 private:
  struct Epoch {
    std::int64_t begin = 0, steps = 0;
  };
  std::size_t index_of(std::int64_t step) const;

  std::vector<Epoch> epochs_;
  std::int64_t total_ = 0;
};

}  // namespace powerhouse
