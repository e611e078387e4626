// Hooks: see or replace any named activation of the decoder, in `forward` and while generating.
//
//     auto handle = model.add_hook({HookPoint::layer_output, 3}, [](const at::Tensor& x, const HookContext&) {
//       return x * 0.5;  // goes on instead of x; return {} to leave it as it is
//     });
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string_view>

#include "powerhouse/export.h"
#include "powerhouse/tensor.h"

namespace powerhouse {

/// Every point at which a hook can stand, in the order a token passes them. Tensors are packed: one row a token, no
/// padding. T = tokens, H = hidden_size, N = num_heads, K = num_key_value_heads, D = head_dim, I = intermediate_size.
enum class HookPoint {
  embeddings,          ///< [T, H] what enters the first layer; no layer index
  attention_norm,      ///< [T, H] input of the projections
  query,               ///< [T, N, D] before RoPE, behind a norm of queries (unless that is after_rope)
  key,                 ///< [T, K, D] before RoPE, behind a norm of keys (unless that is after_rope)
  value,               ///< [T, K, D]
  attention_context,   ///< [T, N * D] heads side by side, before the output projection
  attention_output,    ///< [T, H] after the output projection (and a norm behind it), before the residual sum
  attention_residual,  ///< [T, H] after the residual sum
  mlp_norm,            ///< [T, H] input of the MLP
  router_logits,       ///< [T, E] of a mixture of E experts, before the softmax
  mlp_activation,      ///< [T, I] activation(gate) * up, before the down projection; not in a mixture of experts
  mlp_output,          ///< [T, H] after a norm behind the MLP, before the residual sum
  layer_output,        ///< [T, H] what the next layer gets
  final_norm,          ///< [R, H] of the R rows whose logits are wanted; no layer index
  logits,              ///< [R, vocabulary] float32; no layer index
};

inline constexpr int kHookPointCount = static_cast<int>(HookPoint::logits) + 1;

/// The lower-case name of a point, e.g. "layer_output".
POWERHOUSE_API std::string_view to_string(HookPoint point) noexcept;
/// Whether the point exists once a layer, or once a model.
POWERHOUSE_API bool is_per_layer(HookPoint point) noexcept;

/// A point, and the layer from 0; `layer` -1 means every layer (and is the only value for points outside layers).
struct HookSite {
  HookPoint point = HookPoint::layer_output;
  std::int64_t layer = -1;
};

/// What a hook is told beside the tensor.
struct HookContext {
  HookPoint point = HookPoint::layer_output;
  std::int64_t layer = -1;                     ///< -1 outside layers
  std::span<const std::int64_t> position_ids;  ///< of every token of the batch, T of them
  std::span<const std::int64_t> cu_seqlens;    ///< row where each sequence begins, and T at the end
};

/// Returns the tensor to go on with (same shape, dtype and device, else Error{usage}), or an undefined tensor to leave
/// it.
using Hook = std::function<at::Tensor(const at::Tensor& activation, const HookContext& context)>;

using HookHandle = std::uint64_t;

}  // namespace powerhouse
