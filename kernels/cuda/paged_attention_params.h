// What the kernels over a paged key-value cache are told: attention of few rows, writing, copying and gathering pages.
// Pointers are the device's, and so are the arrays of lengths: a CUDA graph is replayed with other lengths in them.
#pragma once

#include <cstdint>

#include "kernels/common/blocks.h"
#include "kernels/common/element.h"

namespace powerhouse::cuda {

/// A layer of the cache that model/kv_cache.h lays out, and the new rows of its sequences. Position t of a sequence
/// lies in its page t / page_tokens; a page is [page_tokens, kv_heads, head_dim] elements of `type`, page_offset
/// elements behind its address. Heads begin on 16 bytes, those of blocks on the power of two that divides their bytes.
struct PagedCache {
  BlockFormat type = BlockFormat::bf16;  ///< f32, bf16, f16, q8_0 or q4_0
  /// [sequences, table_stride] addresses of pages. Of pages that no row sees, any.
  void* const* key_pages = nullptr;
  void* const* value_pages = nullptr;
  std::int64_t table_stride = 0;
  std::int64_t page_offset = 0;           ///< elements
  const std::int32_t* lengths = nullptr;  ///< [sequences] positions, those of the new rows among them
  /// [sequences + 1] where each one's new rows begin among all, and the end; null: each has `rows` of them.
  const std::int32_t* row_starts = nullptr;
  int sequences = 0;
  int rows = 1;         ///< the most new rows that a sequence has
  int most_length = 0;  ///< at least the largest length
  int kv_heads = 1;
  int head_dim = 0;  ///< a multiple of 8, of 32 with blocks, at most 256
  int page_tokens = 16;
};

/// Up to this many new rows a sequence, paged attention reads the cache once with groups of up to 8 heads. It takes any
/// number; many more are better gathered for flash attention.
inline constexpr int kMostPagedRows = 8;

/// Softmax attention of the last rows of each sequence over what the cache holds of it: row i of n stands at position
/// length - n + i and sees the positions up to its own, with a window the last `window` of them. Rows that see none
/// give zeros. Scores, softmax and sums are float32; products with bf16 or f16 queries round weights to that type,
/// those with float32 queries nothing. Codes of blocks are multiplied as they are, a key's scale in float32; a value's
/// multiplies the weight, which is rounded to f16 then. A row's bits follow from its own position, heads and cache, not
/// from other rows and sequences of the launch.
struct PagedAttentionParams {
  PagedCache cache{};
  Element type = Element::bf16;  ///< of q and out; cache.type is it or has blocks, or is any where this is f32
  const void* q = nullptr;       ///< [all rows, heads, head_dim]
  void* out = nullptr;           ///< the same
  std::int64_t q_row_stride = 0, q_head_stride = 0;  ///< elements; all vectors begin on 16 bytes
  std::int64_t out_row_stride = 0, out_head_stride = 0;
  int all_rows = 0;                     ///< of all sequences
  int heads = 1;                        ///< query head h reads key-value head h / (heads / kv_heads)
  int window = 0;                       ///< 0: none
  float scale = 1.0f;                   ///< above 0
  float softcap = 0.0f;                 ///< above 0: the score becomes softcap * tanh(score / softcap)
  const float* alibi_slopes = nullptr;  ///< [heads], adds slope * (key's position - row's); null: none
  bool alibi_in_bf16 = false;           ///< bf16(slope) * bf16(position) in bf16, then multiplied by scale (Falcon)
  const float* sinks = nullptr;         ///< [heads], a score that joins each row's sum and has no value; null: none
  float* workspace = nullptr;           ///< paged_workspace_floats() of them, on 16 bytes
  int multiprocessors = 1;              ///< of the device; how the work is split follows from it, no bit does
};

/// Positions are summed in parts of this many, each by itself, that are then put together in their order: so bits do
/// not depend on how many blocks share a sequence.
inline constexpr int kPagedPart = 256;

/// The most parts that the rows of one sequence see.
inline int paged_parts(const PagedCache& cache, int window) {
  const int all = (cache.most_length + kPagedPart - 1) / kPagedPart;
  if (window <= 0 || window >= cache.most_length) return all;
  const int seen = (window + cache.rows - 2) / kPagedPart + 2;  // the first may begin at the end of a part
  return seen < all ? seen : all;
}

/// Of each row, head and part: head_dim sums of values, the largest score and the sum of weights.
inline std::int64_t paged_workspace_floats(const PagedAttentionParams& p) {
  const int parts = paged_parts(p.cache, p.window);
  return parts <= 1 ? 0 : static_cast<std::int64_t>(p.all_rows) * p.heads * parts * (p.cache.head_dim + 2);
}

/// New rows of keys and values become part of the cache, behind the length - n positions that were there. Blocks have
/// the bits of the CPU's cache.
struct PagedWriteParams {
  PagedCache cache{};
  Element type = Element::bf16;
  const void* keys = nullptr;                            ///< [all rows, kv_heads, head_dim]
  const void* values = nullptr;                          ///< the same
  std::int64_t key_row_stride = 0, key_head_stride = 0;  ///< elements; vectors begin on 16 bytes
  std::int64_t value_row_stride = 0, value_head_stride = 0;
};

/// The first lengths[s] positions of each sequence as dense rows, for flash attention of longer prompts over a past.
struct PagedGatherParams {
  PagedCache cache{};
  Element type = Element::bf16;
  void* keys = nullptr;                  ///< [starts[sequences], kv_heads, head_dim], contiguous, on 16 bytes
  void* values = nullptr;                ///< the same
  const std::int32_t* starts = nullptr;  ///< [sequences + 1] where each one's rows begin; null: at s * most_length
};

/// Copies of whole pages, of keys and of values alike: `parts` parts of each, those of the layers.
struct PageCopyParams {
  const void* const* from = nullptr;      ///< [pages] addresses
  void* const* to = nullptr;              ///< [pages]
  const std::int64_t* offsets = nullptr;  ///< [parts] bytes from a page's address to a part
  int pages = 0;
  int parts = 0;
  std::int64_t bytes = 0;  ///< of each part, a multiple of 2; 16 at once where addresses, offsets and size allow it
};

}  // namespace powerhouse::cuda
