#include "training/losses/clip_metrics.h"

#include "training/losses/common.h"

namespace powerhouse::losses {

void add_clip_metrics(Metrics& metrics, const at::Tensor& ratio, const at::Tensor& advantages, double low, double high,
                      const std::vector<std::int64_t>* cu_seqlens) {
  const at::Tensor r = ratio.detach();
  const at::Tensor below = r.lt(low).logical_and(advantages.lt(0)).to(r.scalar_type());
  const at::Tensor above = r.gt(high).logical_and(advantages.gt(0)).to(r.scalar_type());
  add_metric(metrics, "clip_ratio/low_mean", below);
  add_metric(metrics, "clip_ratio/high_mean", above);
  add_metric(metrics, "clip_ratio/region_mean", below.add(above));
  const auto of_completions = [&](const at::Tensor& units) {
    if (cu_seqlens == nullptr) return units;
    const at::Tensor means = segment_sums(units, *cu_seqlens).div(counts(*cu_seqlens, units));
    return means.masked_select(means.isnan().logical_not());  // an empty completion has none
  };
  const at::Tensor lows = of_completions(below), highs = of_completions(above);
  if (lows.numel() == 0) return;
  add_metric(metrics, "clip_ratio/low_min", lows.min());
  add_metric(metrics, "clip_ratio/high_max", highs.max());
}

}  // namespace powerhouse::losses
