// Rotary position embedding (Su et al. 2021): frequencies, their scalings, and the rotation.
#pragma once

#include <ATen/core/Tensor.h>

#include <span>
#include <vector>

#include "powerhouse/model_config.h"

namespace powerhouse::ops {

/// The rotation frequency of each pair, rotary_dim/2 of them, in float32 as transformers computes them.
std::vector<float> rope_frequencies(const Rope& rope);

/// cos and sin of every angle: each float32 [tokens, rotary_dim/2].
struct RopeTable {
  at::Tensor cos, sin;
};
RopeTable rope_table(std::span<const float> frequencies, std::span<const std::int64_t> position_ids);

/// Turns the first rotary_dim elements of every head: x [tokens, heads, head_dim]. Differentiable; where autograd does
/// not look on, x itself is turned in place and returned.
at::Tensor apply_rope(const at::Tensor& x, const RopeTable& table, RopeLayout layout);

}  // namespace powerhouse::ops
