// The CPU kernels of inference: their arguments, and the table of function pointers that each instruction set fills.
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
#include "kernels/common/packed.h"
#include "kernels/common/packed_bf16.h"

namespace powerhouse::cpu {

/// y[m, n] = sum_k x[m, k] * weight[n, k] + bias[n]. Work items: output features n. Any number of rows; made for 1-32.
/// Splits at multiples of kLinearGrain are fastest.
struct LinearParams {
  Element type = Element::f32;    ///< of x, weight and bias
  Element y_type = Element::f32;  ///< `type`, or f32 (logits)
  bool wide_x = false;            ///< x and y are f32 whatever the type
  const void* x = nullptr;        ///< [rows, inputs]
  const void* weight = nullptr;   ///< [outputs, inputs]
  const void* bias = nullptr;     ///< [outputs], or null
  void* y = nullptr;              ///< [rows, outputs]
  std::int64_t rows = 0;
  std::int64_t inputs = 0;
  std::int64_t x_stride = 0;
  std::int64_t weight_stride = 0;
  std::int64_t y_stride = 0;
};
static constexpr std::int64_t kLinearGrain = 16;

/// Rows in codes of 8 bits, or of 15 in two of 8: each 32 elements share a scale, x = scale * code, or with `rests`
/// x = scale * (255 code + rest); code and rest are -127 to 127.
struct QuantizedRows {
  std::int8_t* codes = nullptr;  ///< [rows, stride]
  std::int8_t* rests = nullptr;  ///< [rows, stride], or null
  float* scales = nullptr;       ///< [rows, stride / 32]
  std::int32_t* sums = nullptr;  ///< [rows, stride / 16], of x / scale of 16 elements each
  std::int64_t stride = 0;       ///< of codes; a multiple of 32
};

/// Quantizes rows of `size` elements, a multiple of 32: scale = max |x| / 127, or max |x| / 32512 with rests, x / scale
/// to the nearest. Where 32 elements hold NaN or infinity, their scale is NaN. Work items: rows.
struct QuantizeParams {
  Element type = Element::f32;
  const void* x = nullptr;  ///< [rows, size]
  std::int64_t size = 0;
  std::int64_t x_stride = 0;
  QuantizedRows out{};
};

/// y[m, n] = sum_k x[m, k] * weight[n, k] + bias[n], the weight in panels (kernels/common/packed.h). The products of 32
/// (or 16) codes are summed exactly, the scaled sums in float32. Work items: panels, of kPanelRows features each.
struct PackedLinearParams {
  const PackedLayout* layout = nullptr;
  QuantizedRows x{};
  const void* panels = nullptr;  ///< panel_bytes() apart
  const float* bias = nullptr;   ///< [outputs], or null
  float* y = nullptr;            ///< [rows, outputs]
  std::int64_t rows = 0;
  std::int64_t inputs = 0;
  std::int64_t outputs = 0;
  std::int64_t y_stride = 0;
};

/// y[m, n] = sum_k x[m, k] * weight[n, k] + bias[n], bf16 weights in panels (kernels/common/packed_bf16.h). Work items:
/// panels, of kPanelRows features each.
struct Bf16LinearParams {
  const float* x = nullptr;  ///< [rows, inputs]
  Bf16Panels weight{};
  const float* bias = nullptr;  ///< [outputs], or null
  float* y = nullptr;           ///< [rows, outputs]
  std::int64_t rows = 0;
  std::int64_t inputs = 0;  ///< a multiple of kBf16Unit
  std::int64_t outputs = 0;
  std::int64_t x_stride = 0;
  std::int64_t y_stride = 0;
};

/// y[m, n] = sum_k x[m, k] * weight[n, k] + bias[n] for many rows (some tens and more), with weights as numbers of x's
/// type: packed weights are unpacked and rounded to it on the way. Work items: panels of kPanelRows features.
struct GemmParams {
  Element x_type = Element::f32;  ///< f32, or the table's gemm_type
  const void* x = nullptr;        ///< [rows, inputs], zeros behind them up to a multiple of kGemmPad
  const PackedLayout* layout = nullptr;
  const void* weight = nullptr;        ///< panels, panel_bytes() apart; without a layout [outputs, inputs]
  Element weight_type = Element::f32;  ///< without a layout
  const Bf16Panels* bf16 = nullptr;    ///< instead of the three
  const float* bias = nullptr;         ///< [outputs], or null
  float* y = nullptr;                  ///< [rows, outputs]
  std::int64_t rows = 0;
  std::int64_t inputs = 0;
  std::int64_t outputs = 0;
  std::int64_t x_stride = 0;
  std::int64_t weight_stride = 0;
  std::int64_t y_stride = 0;
};
static constexpr std::int64_t kGemmPad = 32;
static constexpr std::int64_t kGemmMaxPanels = 2;
static constexpr std::int64_t kGemmDepth = 2048;
/// Floats of scratch that each thread brings to `gemm`; 15 of them to begin on a cache line.
static constexpr std::int64_t kGemmScratchFloats = kGemmMaxPanels * kPanelRows * kGemmDepth + 15;

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

/// One query token, or a part of what it sees: the cache's positions [begin, end). Position t lies in page
/// t / page_tokens. Whole rows end behind `position`, parts there or at multiples of kAttentionTile.
struct AttentionRow {
  const void* q = nullptr;                   ///< [num_heads, head_dim]
  void* out = nullptr;                       ///< [num_heads, head_dim]; zeros where begin >= end
  const void* const* key_pages = nullptr;    ///< pages of [page_tokens, num_kv_heads, head_dim]
  const void* const* value_pages = nullptr;  ///< the same
  std::int64_t begin = 0;                    ///< above 0 for a sliding window; never negative
  std::int64_t end = 0;
  std::int64_t position = 0;  ///< the query's own, from which ALiBi counts
  /// Of a part: instead of `out`, each head's maximum, sum of weights and weighted sum of values under that maximum,
  /// without sinks, for `merge_attention`; attention_partial_floats() of them. Null where the row is whole.
  float* partial = nullptr;
};

/// Where long rows are cut into parts: at multiples of this many positions, whoever computes them.
static constexpr std::int64_t kAttentionPart = 256;

static constexpr std::int64_t attention_partial_floats(std::int64_t num_heads, std::int64_t head_dim) {
  return num_heads * (head_dim + 2);
}

/// Types of the cache: f32, bf16, f16, or ggml's blocks q8_0 and q4_0 of 32 elements of a head.
static constexpr bool is_cache_type(BlockFormat format) {
  return format == BlockFormat::f32 || format == BlockFormat::bf16 || format == BlockFormat::f16 ||
         format == BlockFormat::q8_0 || format == BlockFormat::q4_0;
}
static constexpr std::int64_t cache_bytes(BlockFormat type, std::int64_t elements) {
  return elements / block_info(type).block_elements * block_info(type).block_bytes;
}

/// What both kinds of attention over a paged cache are told: query head h reads key-value head h / group. The score of
/// a key is scale * q.k, then the softcap where there is one, plus ALiBi's bias slope * (key - query). With blocks,
/// head_dim and the strides and the offset of the cache are multiples of 32.
struct AttentionShape {
  Element type = Element::f32;                ///< of q and out
  BlockFormat cache_type = BlockFormat::f32;  ///< of the pages
  std::int64_t num_kv_heads = 0;
  std::int64_t group = 1;  ///< query heads of a key-value head
  std::int64_t head_dim = 0;
  std::int64_t page_tokens = 16;
  std::int64_t page_offset = 0;  ///< elements from a page's base to this layer's part of it
  std::int64_t token_stride = 0;
  std::int64_t kv_head_stride = 0;
  std::int64_t q_head_stride = 0;
  std::int64_t out_head_stride = 0;
  float scale = 1.0f;
  float softcap = 0.0f;                 ///< above 0: score = softcap * tanh(score / softcap), after scale
  const float* alibi_slopes = nullptr;  ///< [num_heads], or null: no bias
  bool alibi_in_bf16 = false;           ///< bf16(slope) * bf16(position) in bf16, then multiplied by scale (Falcon)
  const float* sinks = nullptr;         ///< [num_heads], or null: one more logit in each head's denominator (gpt-oss)
};

/// Softmax attention of single tokens, or parts of them, over a paged cache.
/// Work items: row * num_kv_heads + kv_head; each writes its group's heads of the row's `out` or `partial`.
/// The order of sums follows positions alone: blocks of kAttentionTile of them, whatever the size of a page.
struct AttentionParams : AttentionShape {
  const AttentionRow* rows = nullptr;  ///< [rows]
};

static constexpr std::int64_t kAttentionTile = 64;
/// Key-value heads of a row that a call takes through the cache together.
static constexpr std::int64_t kAttentionRun = 8;

/// Floats of scratch that each thread brings to `attention`; 15 of them to begin on a cache line.
static constexpr std::int64_t attention_scratch_floats(std::int64_t group, std::int64_t head_dim) {
  const std::int64_t padded = (head_dim + 15) / 16 * 16;
  return kAttentionRun * group * (2 * padded + kAttentionTile + 2) + 15;
}

/// The parts of a row, in the order of their positions.
struct AttentionMerge {
  const float* partials = nullptr;  ///< [parts, num_heads, head_dim + 2]
  std::int64_t parts = 0;
  void* out = nullptr;  ///< [num_heads, head_dim]
};

/// Puts parts together, one after the other. Work items: row * num_heads + head.
struct AttentionMergeParams {
  Element type = Element::f32;  ///< of out
  std::int64_t num_heads = 0;
  std::int64_t head_dim = 0;
  std::int64_t out_head_stride = 0;
  const float* sinks = nullptr;          ///< as in AttentionShape
  const AttentionMerge* rows = nullptr;  ///< [rows]
};

/// Causal softmax attention of many tokens of one sequence over a paged cache: query row i stands at position
/// length - rows + i and sees the positions up to its own, with a window only the last `window` of them. Work items:
/// the tiles of prefill_rows(group) query rows of every key-value head, prefill_items() of them, in an order in which
/// early tiles, which see few keys, take turns with late ones. Keys are summed in blocks of kAttentionTile positions.
/// Positions that no row of a tile sees are not read for it, and a page of which no row sees a position may be null.
/// What one row of a tile sees is multiplied for all of them, with weights of zero where a row does not see it, so that
/// a value that is not finite reaches the whole tile.
struct PrefillParams : AttentionShape {
  const void* q = nullptr;                   ///< [rows, num_heads, head_dim]
  void* out = nullptr;                       ///< [rows, num_heads, head_dim]
  const void* const* key_pages = nullptr;    ///< pages of [page_tokens, num_kv_heads, head_dim]
  const void* const* value_pages = nullptr;  ///< the same
  std::int64_t rows = 0;
  std::int64_t length = 0;  ///< positions in the cache, those of the rows among them
  std::int64_t window = 0;  ///< 0: none
  /// Products of pairs of bf16, summed in float32, where the processor has them (AVX512_BF16): queries (scaled), keys,
  /// weights and values are rounded to bf16. Elsewhere it changes nothing.
  bool bf16_products = false;
  std::int64_t q_row_stride = 0;
  std::int64_t out_row_stride = 0;
};

/// Query rows of a tile: with their heads about 128 vectors, which share every key that is read.
static constexpr std::int64_t prefill_rows(std::int64_t group) { return group < 128 ? 128 / group : 1; }

static constexpr std::int64_t prefill_items(const PrefillParams& params) {
  const std::int64_t rows = prefill_rows(params.group);
  return (params.rows + rows - 1) / rows * params.num_kv_heads;
}

/// Floats of scratch that each thread brings to `prefill_attention`, likewise.
static constexpr std::int64_t prefill_scratch_floats(std::int64_t group, std::int64_t head_dim) {
  const std::int64_t padded = (head_dim + 15) / 16 * 16;
  const std::int64_t vectors = (prefill_rows(group) * group + 15) / 16 * 16;
  return 2 * vectors * padded + kAttentionTile * (vectors + 2 * padded) + 7 * vectors + 15;
}

/// Keys or values as the cache keeps them. Blocks are those of ggml's quantize_row_q8_0_ref and quantize_row_q4_0_ref;
/// one that holds NaN or infinity gets a scale of NaN. Work items: elements; with blocks, multiples of 32.
struct CacheStoreParams {
  Element source_type = Element::f32;
  BlockFormat cache_type = BlockFormat::f32;
  const void* source = nullptr;
  void* destination = nullptr;
};

/// destination[i] = source[i] in another type. Work items: elements.
struct ConvertParams {
  Element source_type = Element::f32;
  Element destination_type = Element::f32;
  const void* source = nullptr;
  void* destination = nullptr;
};

struct Extremum {
  float value = 0.0f;
  std::int64_t index = -1;
};

/// One instruction set's kernels. `begin` and `end` count work items.
struct CpuKernels {
  const char* name = nullptr;  ///< scalar, avx2, avx512, avx512_vnni, avx512_bf16
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
  void (*store_cache)(const CacheStoreParams&, std::int64_t begin, std::int64_t end) = nullptr;
  void (*convert)(const ConvertParams&, std::int64_t begin, std::int64_t end) = nullptr;
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
