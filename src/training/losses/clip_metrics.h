// How much of a batch clipping acts on, as GRPO and RLOO report it.
#pragma once

#include <ATen/core/Tensor.h>

#include "powerhouse/completion_log_probs.h"

namespace powerhouse::losses {

/// clip_ratio/*: of ratios and advantages [units] the share outside [low, high] on the side where clipping acts, and
/// the least and greatest of completions' means. Units are the tokens of `cu_seqlens`, or completions where that is
/// nullptr.
void add_clip_metrics(Metrics& metrics, const at::Tensor& ratio, const at::Tensor& advantages, double low, double high,
                      const std::vector<std::int64_t>* cu_seqlens = nullptr);

}  // namespace powerhouse::losses
