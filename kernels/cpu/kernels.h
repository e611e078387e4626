// The CPU kernels of inference and of the optimizers: their arguments, and the table of function pointers that each
// instruction set fills.
// The CPU kernels: their arguments, and the table of function pointers that each instruction set fills.
//
// A kernel reads plain pointers, sizes and strides (all strides in elements), computes and accumulates in float32, and
// rounds once where it stores, unless said otherwise. It never allocates and never starts a thread: it does the part
// [begin, end) of its work items, and callers split the items among threads. The bits of an item do not depend on how
// the items are split nor on how many rows stand in the call. The definition of each kernel is the plain loop in
// kernels/reference/. Inputs are trusted: callers check sizes.
#pragma once

#include <cstdint>

#include "kernels/common/blocks.h"
#include "kernels/common/element.h"
#include "kernels/cpu/attention_params.h"
#include "kernels/cpu/flash_params.h"
#include "kernels/cpu/linear_params.h"
#include "kernels/cpu/optimizer_params.h"

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

/// Rotates, in place, the first rotary_dim elements of each head. Work items: token * heads + head.
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
  bool interleaved = false;  ///< pairs (2i, 2i + 1) instead of (i, i + rotary_dim / 2)
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

/// destination[i] = source[i] in another type. Work items: elements.
struct ConvertParams {
  Element source_type = Element::f32;
  Element destination_type = Element::f32;
  const void* source = nullptr;
  void* destination = nullptr;
};

/// Blocks of a file, one behind the other, as dense numbers with the bits of kernels/reference/dequantize.h, rounded to
/// `type`. Any format of can_dequantize(). Work items: blocks.
struct DequantizeParams {
  BlockFormat format = BlockFormat::f32;
  Element type = Element::f32;  ///< of the destination
  const void* source = nullptr;
  void* destination = nullptr;
};

struct Extremum {
  float value = 0.0f;
  std::int64_t index = -1;
};

/// One instruction set's kernels. `begin` and `end` count work items.
struct CpuKernels {
  const char* name = nullptr;  ///< scalar, avx2, avx512, avx512_vnni, avx512_bf16, amx
  void (*linear)(const LinearParams&, std::int64_t begin, std::int64_t end) = nullptr;
  void (*quantize)(const QuantizeParams&, std::int64_t begin, std::int64_t end) = nullptr;
  void (*packed_linear)(const PackedLinearParams&, std::int64_t begin, std::int64_t end) = nullptr;
  void (*bf16_linear)(const Bf16LinearParams&, std::int64_t begin, std::int64_t end) = nullptr;
  Element gemm_type = Element::f32;  ///< of the rows that `gemm` is fastest with
  void (*gemm)(const GemmParams&, std::int64_t begin, std::int64_t end, float* scratch) = nullptr;
  void (*rms_norm)(const RmsNormParams&, std::int64_t begin, std::int64_t end) = nullptr;
  void (*layer_norm)(const LayerNormParams&, std::int64_t begin, std::int64_t end) = nullptr;
  void (*rope)(const RopeParams&, std::int64_t begin, std::int64_t end) = nullptr;
  void (*activation_mul)(const ActivationParams&, std::int64_t begin, std::int64_t end) = nullptr;
  void (*attention)(const AttentionParams&, std::int64_t begin, std::int64_t end, float* scratch) = nullptr;
  void (*prefill_attention)(const PrefillParams&, std::int64_t begin, std::int64_t end, float* scratch) = nullptr;
  void (*merge_attention)(const AttentionMergeParams&, std::int64_t begin, std::int64_t end) = nullptr;
  void (*flash_forward)(const FlashParams&, std::int64_t begin, std::int64_t end, float* scratch) = nullptr;
  void (*flash_backward)(const FlashBackwardParams&, std::int64_t begin, std::int64_t end, float* scratch) = nullptr;
  void (*store_cache)(const CacheStoreParams&, std::int64_t begin, std::int64_t end) = nullptr;
  void (*convert)(const ConvertParams&, std::int64_t begin, std::int64_t end) = nullptr;
  void (*dequantize)(const DequantizeParams&, std::int64_t begin, std::int64_t end) = nullptr;
  void (*optimizer_update)(const UpdateParams&, std::int64_t begin, std::int64_t end) = nullptr;
  /// The sum of squares of elements [begin, end), in float32 over short runs, which add up in float64.
  double (*sum_squares)(const void* x, Element type, std::int64_t begin, std::int64_t end) = nullptr;
  /// The largest of x[0, count) and the first place it stands; the first NaN where there is one. count >= 1.
  Extremum (*argmax_f32)(const float* x, std::int64_t count) = nullptr;
  /// log(sum(exp(x))). NaN with any NaN; an infinite maximum is the result.
  float (*log_sum_exp_f32)(const float* x, std::int64_t count) = nullptr;
  /// y = exp(x) / sum(exp(x)); y may be x. All NaN where the maximum is not finite.
  void (*softmax_f32)(const float* x, float* y, std::int64_t count) = nullptr;
  /// The first index of [begin, end) whose value is NaN or infinite, or -1.
  std::int64_t (*first_not_finite)(const void* x, Element type, std::int64_t begin, std::int64_t end) = nullptr;
};

/// Names of every table in this build, from plain to best: {"scalar", "avx2", ...}, then null.
const char* const* kernel_names() noexcept;

/// The table of that name; null for an unknown name or one that this processor cannot run.
const CpuKernels* find_kernels(const char* name) noexcept;

/// The table in use: the best that this processor runs, or the one that POWERHOUSE_ISA names. Null where that variable
/// names none of them: whoever loads a model asks here once and makes it an Error.
const CpuKernels* selected_kernels() noexcept;

/// *selected_kernels(), for code behind that check (the scalar table where the check would have failed).
const CpuKernels& kernels() noexcept;

}  // namespace powerhouse::cpu
