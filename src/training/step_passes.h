// The passes of a step whose loss may be no number.
#pragma once

#include <limits>

#include "powerhouse/error.h"
#include "powerhouse/log.h"
#include "training/metric_means.h"
#include "training/objective.h"

namespace powerhouse {

/// Calls pass(number, metrics) for each micro batch, which gives its share of the step's loss. Where that is
/// Error{numeric}, the loss is NaN: a step that the loop leaves out.
template <typename Pass>
StepLoss run_passes(const StepContext& context, std::size_t count, Pass pass) {
  StepLoss step;
  MetricMeans metrics;
  try {
    for (std::size_t number = 0; number < count; ++number) step.loss += pass(number, metrics);
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::numeric) throw;
    log(LogLevel::warning, "step " + std::to_string(context.step) + ": " + error.what());
    return {std::numeric_limits<double>::quiet_NaN(), {}};
  }
  step.metrics = metrics.means();
  return step;
}

}  // namespace powerhouse
