// The arguments of the kernels between products: norms, rotary positions, activations. The rules of kernels.h hold.
#pragma once

#include <cstdint>

#include "kernels/common/element.h"

namespace powerhouse::cpu {

/// y = x / rms(x) * weight over rows of `size` elements, with Hugging Face's roundings: x / rms in float32, rounded to
/// `type`, then times weight, rounded again; rounded once with `round_once` (OLMo 2, gpt-oss). With `unit_offset`
/// (Gemma) it is x / rms * (1 + weight), rounded once. With a residual (and heads = 1), x += residual comes first,
/// rounded to `type` and stored. Work items: row * heads + head.
struct RmsNormParams {
  Element type = Element::f32;     ///< of all tensors
  void* x = nullptr;               ///< [rows, heads, size]; written only with a residual
  const void* residual = nullptr;  ///< [rows, size], or null
  const void* weight = nullptr;    ///< [size], or null: 1
  void* y = nullptr;               ///< [rows, heads, size]; may be x
  std::int64_t size = 0;
  std::int64_t x_stride = 0;
  std::int64_t residual_stride = 0;
  std::int64_t y_stride = 0;
  std::int64_t heads = 1;  ///< rows of `size` elements in a row: norms of queries and keys by head
  std::int64_t x_head_stride = 0;
  std::int64_t y_head_stride = 0;
  std::int64_t weight_head_stride = 0;  ///< 0: all heads share one weight
  float epsilon = 1e-5f;
  bool unit_offset = false;
  bool round_once = false;
};

/// y = (x - mean) / sqrt(variance + epsilon) * weight + bias over rows of `size` elements, in float32, rounded once, as
/// torch.nn.LayerNorm. Work items: row * heads + head.
struct LayerNormParams {
  Element type = Element::f32;   ///< of all tensors
  const void* x = nullptr;       ///< [rows, heads, size]
  const void* weight = nullptr;  ///< [size], or null: 1
  const void* bias = nullptr;    ///< [size], or null: 0
  void* y = nullptr;             ///< [rows, heads, size]; may be x
  std::int64_t size = 0;
  std::int64_t x_stride = 0;
  std::int64_t y_stride = 0;
  std::int64_t heads = 1;  ///< as in RmsNormParams
  std::int64_t x_head_stride = 0;
  std::int64_t y_head_stride = 0;
  std::int64_t weight_head_stride = 0;  ///< of weight and bias; 0: all heads share them
  float epsilon = 1e-5f;
};

/// Rotates the first rotary_dim elements of each head, in place, or from `source` to `data` with the rest of the head
/// copied. Work items: token * heads + head.
struct RopeParams {
  Element type = Element::f32;
  void* data = nullptr;                     ///< [tokens, heads, head_dim]
  const float* cos = nullptr;               ///< [positions, rotary_dim / 2]
  const float* sin = nullptr;               ///< [positions, rotary_dim / 2]
  const std::int64_t* positions = nullptr;  ///< [tokens], the row of the tables of each token; null: row = token
  std::int64_t heads = 0;
  std::int64_t rotary_dim = 0;
  std::int64_t token_stride = 0;
  std::int64_t head_stride = 0;
  std::int64_t table_stride = 0;
  bool interleaved = false;      ///< pairs (2i, 2i + 1) instead of (i, i + rotary_dim / 2)
  bool inverse = false;          ///< by the negative angle: the gradient
  const void* source = nullptr;  ///< [tokens, heads, head_dim], or null: data
  std::int64_t source_token_stride = 0;
  std::int64_t source_head_stride = 0;
  std::int64_t head_dim = 0;  ///< with a source
};

enum class ActivationKind : std::uint8_t {
  silu,       ///< x sigmoid(x)
  gelu_tanh,  ///< the approximation by tanh: "gelu_new", "gelu_pytorch_tanh"
  gelu,       ///< by the error function
  relu,
  quick_gelu,  ///< x sigmoid(1.702 x)
  relu2,       ///< the square of relu
  sigmoid,
  tanh,
};

/// y = activation(gate) * up, or activation(gate) where up is null. Work items: row * columns + column.
struct ActivationParams {
  Element type = Element::f32;
  ActivationKind kind = ActivationKind::silu;
  const void* gate = nullptr;  ///< [rows, columns]
  const void* up = nullptr;    ///< [rows, columns], or null
  void* y = nullptr;           ///< [rows, columns]; may be gate or up
  std::int64_t columns = 0;
  std::int64_t gate_stride = 0;
  std::int64_t up_stride = 0;
  std::int64_t y_stride = 0;
};

}  // namespace powerhouse::cpu
