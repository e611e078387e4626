// What the kernels of attention over a paged key-value cache are told; part of kernels.h, whose rules hold here.
#pragma once

#include <cstdint>

#include "kernels/common/blocks.h"
#include "kernels/common/element.h"

namespace powerhouse::cpu {

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

/// Types of the cache that attention reads as they lie: f32, bf16, f16, or ggml's blocks q8_0 and q4_0 of 32 elements
/// of a head.
static constexpr bool is_cell_type(BlockFormat format) {
  return format == BlockFormat::f32 || format == BlockFormat::bf16 || format == BlockFormat::f16 ||
         format == BlockFormat::q8_0 || format == BlockFormat::q4_0;
}
/// All types of the cache: those, and ggml's other blocks of 32 elements, which become float32 head by head.
static constexpr bool is_cache_type(BlockFormat format) {
  return is_cell_type(format) || format == BlockFormat::q4_1 || format == BlockFormat::q5_0 ||
         format == BlockFormat::q5_1 || format == BlockFormat::iq4_nl;
}
static constexpr std::int64_t cache_bytes(BlockFormat type, std::int64_t elements) {
  return elements / block_info(type).block_elements * block_info(type).block_bytes;
}

/// What both kinds of attention over a paged cache are told: query head h reads key-value head h / group. The score of
/// a key is scale * q.k, then the softcap where there is one, plus ALiBi's bias slope * (key - query). With blocks,
/// head_dim and the strides and the offset of the cache are multiples of 32.
struct AttentionShape {
  Element type = Element::f32;                ///< of q and out
  BlockFormat key_type = BlockFormat::f32;    ///< of the pages of keys
  BlockFormat value_type = BlockFormat::f32;  ///< of the pages of values
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
  return kAttentionRun * group * (2 * padded + kAttentionTile + 2) + kAttentionTile * padded + 15;
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
  return 2 * vectors * padded + kAttentionTile * (vectors + 2 * padded) + 7 * vectors + 2 * padded + 15;
}

/// Keys or values as the cache keeps them. Blocks are those of kernels/reference/encode.h, ggml's bytes; one that holds
/// NaN or infinity gets a scale of NaN. Work items: elements; with blocks, multiples of 32.
struct CacheStoreParams {
  Element source_type = Element::f32;
  BlockFormat cache_type = BlockFormat::f32;
  const void* source = nullptr;
  void* destination = nullptr;
};

}  // namespace powerhouse::cpu
