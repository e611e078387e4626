// Where flash attention's backward kernels keep what they tell each other: lse and delta of each row, and sums of dq.
#pragma once

#include "kernels/cuda/flash_attention/backward_tile.h"
#include "kernels/cuda/primitives.cuh"

namespace powerhouse::cuda {

/// Of all tiles of a head, the first of a document's.
template <int kBlockM>
static __device__ __forceinline__ std::int64_t first_query_tile(const FlashForwardParams& p, int document) {
  if (p.cu_seqlens_q != nullptr) return p.cu_seqlens_q[document] / kBlockM + document;
  return static_cast<std::int64_t>(document) * ((p.queries + kBlockM - 1) / kBlockM);
}
template <int kBlockM>
static __device__ __forceinline__ std::int64_t all_query_tiles(const FlashBackwardParams& p) {
  if (p.forward.cu_seqlens_q != nullptr) return p.packed_queries / kBlockM + p.forward.batch;
  return static_cast<std::int64_t>(p.forward.batch) * ((p.forward.queries + kBlockM - 1) / kBlockM);
}

/// For each head and tile lse (times log2(e); infinity where a row is not to have weights) and then delta of its rows;
/// after all of them the sums of dq, for each slice, head and tile, in the order in which the main kernel's threads
/// hold them.
template <int kHeadDim>
struct FlashWorkspace {
  using Tile = FlashBackwardTile<kHeadDim>;
  static constexpr int kNumbers = 2 * Tile::kBlockM;            // of a tile
  static constexpr int kSums = Tile::kBlockM * Tile::kHeadDim;  // of a tile

  float *numbers, *sums;  // of the document's first tile
  std::int64_t slice_stride;

  __device__ __forceinline__ FlashWorkspace(const FlashBackwardParams& p, int head, int document) {
    const std::int64_t tiles = all_query_tiles<Tile::kBlockM>(p);
    const std::int64_t at = head * tiles + first_query_tile<Tile::kBlockM>(p.forward, document);
    numbers = p.workspace + at * kNumbers;
    sums = p.workspace + p.forward.heads * tiles * kNumbers + at * kSums;
    slice_stride = p.forward.heads * tiles * kSums;
  }
};

/// Where a warp's sums of dq begin in their tile.
template <int kHeadDim>
struct QueryPart {
  using Tile = FlashBackwardTile<kHeadDim>;
  int row, chunk;

  __device__ __forceinline__ explicit QueryPart(int warp)
      : row(warp % Tile::kQueryWarps * Tile::kQueryBlocks * 16),
        chunk(warp / Tile::kQueryWarps * Tile::kQueryColumns) {}
};

}  // namespace powerhouse::cuda
