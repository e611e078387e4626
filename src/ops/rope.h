// Rotary position embedding (Su et al. 2021): frequencies, their scalings, and the rotation.
#pragma once

#include <ATen/core/Tensor.h>

#include <span>
#include <vector>

#include "powerhouse/device.h"
#include "powerhouse/model_config.h"

namespace powerhouse::ops {

/// The rotation frequency of each pair, rotary_dim/2 of them, in float32 as transformers computes them. `length` is the
/// sequence's, where the frequencies depend on it.
std::vector<float> rope_frequencies(const Rope& rope, std::int64_t length);

/// Whether they do: dynamic and longrope.
inline bool depends_on_length(const Rope& rope) {
  return rope.scaling == RopeScaling::dynamic || rope.scaling == RopeScaling::longrope;
}

/// cos and sin of every angle, times attention_factor: each float32 [tokens, rotary_dim/2].
struct RopeTable {
  at::Tensor cos, sin;
};
RopeTable empty_rope_table(const Rope& rope, std::int64_t tokens);
/// Fills the rows of tokens [first, first + position_ids.size()).
void fill_rope_table(RopeTable& table, std::int64_t first, const Rope& rope, std::span<const float> frequencies,
                     std::span<const std::int64_t> position_ids);

/// The same for one token, on plain floats: rotary_dim/2 of each.
void rope_angles(const Rope& rope, std::span<const float> frequencies, std::int64_t position, float* cos, float* sin);

/// Turns the first rotary_dim elements of every head: x [tokens, heads, head_dim]. Differentiable; where autograd does
/// not look on, x itself is turned in place and returned, if a head's elements lie side by side.
at::Tensor apply_rope(const at::Tensor& x, const RopeTable& table, RopeLayout layout,
                      Numerics numerics = Numerics::fast);

}  // namespace powerhouse::ops
