// How a launch of paged attention is cut: a plain function of sizes, on the host.
#pragma once

#include "kernels/cuda/launch_shape.h"
#include "kernels/cuda/paged_attention_params.h"

namespace powerhouse::cuda {

/// What kernels over a cache know beside it: sizes in bytes, which only the host has a table for.
struct PagedBytes {
  std::int64_t page_offset;
  int row;         ///< a position's keys, or values, of one head
  int piece;       ///< of an asynchronous copy: 16, 8 or 4 that divide all rows' beginnings, or 4 where they are even
  int page_shift;  ///< log2 of a page's positions, negative where they are no power of two
};

inline PagedBytes paged_bytes(const PagedCache& cache) {
  const BlockInfo info = block_info(cache.type);
  const int row = cache.head_dim / info.block_elements * info.block_bytes;
  int shift = -1;
  for (int bit = 0; bit < 31; ++bit) shift = cache.page_tokens == 1 << bit ? bit : shift;
  return {.page_offset = cache.page_offset / info.block_elements * info.block_bytes,
          .row = row,
          .piece = row % 16 == 0  ? 16
                   : row % 8 == 0 ? 8
                                  : 4,
          .page_shift = shift};
}

struct PagedPlan {
  PagedBytes bytes{};
  int parts = 0;         ///< the most that one row sees: the workspace's stride
  int run = 1;           ///< parts that a block takes, one after the other
  int blocks = 0;        ///< that share the parts of a sequence
  int columns = 1;       ///< of eight query vectors (row and head of a group), in a warp
  int vector_tiles = 1;  ///< warps with other vectors and the same keys
  int vector_blocks = 1;
  float per_softcap = 0.0f;  ///< 1 / softcap

#ifdef __CUDACC__
  __host__ __device__
#endif
      constexpr int
      vectors() const {
    return vector_tiles * columns * 8;
  }  ///< of a block
};

/// As many blocks as give every multiprocessor sixteen, which is a few times what it holds at once, so that the last
/// ones even out; where there are more parts, a block takes several. No bit follows from it.
inline PagedPlan plan_paged_attention(const PagedAttentionParams& p, int most_vector_tiles) {
  constexpr std::int64_t kBlocksOfMultiprocessor = 16;
  PagedPlan plan{.bytes = paged_bytes(p.cache), .parts = paged_parts(p.cache, p.window)};
  const std::int64_t vectors = static_cast<std::int64_t>(p.cache.rows) * (p.heads / p.cache.kv_heads);
  if (p.softcap > 0.0f) plan.per_softcap = 1.0f / p.softcap;
  plan.columns = vectors <= 8 ? 1 : 2;
  const std::int64_t tiles = vectors <= 16 ? 1 : divide_up(vectors, 16);
  plan.vector_tiles = static_cast<int>(tiles < most_vector_tiles ? tiles : most_vector_tiles);
  plan.vector_blocks = static_cast<int>(divide_up(tiles, plan.vector_tiles));
  const int parts = plan.parts < 1 ? 1 : plan.parts;  // rows of empty sequences want their zeros
  const std::int64_t others = static_cast<std::int64_t>(p.cache.kv_heads) * plan.vector_blocks * p.cache.sequences;
  const std::int64_t run = parts * others / (kBlocksOfMultiprocessor * p.multiprocessors);
  plan.run = static_cast<int>(run < 1 ? 1 : run > parts ? parts : run);
  plan.blocks = static_cast<int>(divide_up(parts, plan.run));
  return plan;
}

}  // namespace powerhouse::cuda
