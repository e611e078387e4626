// Clipping, as GRPO and RLOO measure it.
#pragma once

#include <ATen/core/Tensor.h>

#include "powerhouse/completion_log_probs.h"

namespace powerhouse::losses {

/// clip_ratio/*: of ratios and advantages [units] the share outside [low, high] on the side where clipping acts.
/// `per_completion` makes [units] the mean of each completion, NaN for an empty one.
template <typename Function>
void add_clip_metrics(Metrics& metrics, const at::Tensor& ratio, const at::Tensor& advantages, double low, double high,
                      Function&& per_completion) {
  const at::Tensor r = ratio.detach();
  const at::Tensor below = r.lt(low).logical_and(advantages.lt(0)).to(r.scalar_type());
  const at::Tensor above = r.gt(high).logical_and(advantages.gt(0)).to(r.scalar_type());
  add_metric(metrics, "clip_ratio/low_mean", below);
  add_metric(metrics, "clip_ratio/high_mean", above);
  add_metric(metrics, "clip_ratio/region_mean", below.add(above));
  const at::Tensor lows = per_completion(below), highs = per_completion(above);
  const at::Tensor some = lows.isnan().logical_not();
  if (!some.any().item<bool>()) return;
  add_metric(metrics, "clip_ratio/low_min", lows.masked_select(some).min());
  add_metric(metrics, "clip_ratio/high_max", highs.masked_select(some).max());
}

}  // namespace powerhouse::losses
