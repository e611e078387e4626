// Query, key and value of a layer, however the checkpoint lays their matrices out.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>

#include "model/weights.h"
#include "powerhouse/device.h"
#include "powerhouse/model_config.h"

namespace powerhouse {

struct QueryKeyValue {
  at::Tensor query;       // [tokens, num_heads, head_dim]
  at::Tensor key, value;  // [tokens, num_key_value_heads, head_dim]
};

/// Where row i of query, key or value (`part` 0, 1, 2) stands in a fused matrix.
std::int64_t fused_row(const Attention& attention, int part, std::int64_t i);

/// Projected and clamped, not yet normed nor turned by RoPE. `product` gives [tokens, outputs] of a role's matrix.
QueryKeyValue project(const Attention& choice, const std::function<at::Tensor(Role role)>& product);

/// The norms of queries and keys, where the layer has them.
void norm_heads(const QkNorm& choice, const LayerWeights& weights, QueryKeyValue& heads, Numerics numerics);

}  // namespace powerhouse
