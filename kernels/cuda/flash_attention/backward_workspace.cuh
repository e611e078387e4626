// Where flash attention's backward kernels keep what they tell each other: lse and delta of each row, and sums of dq.
#pragma once

#include "kernels/cuda/flash_attention/backward_tile.h"
#include "kernels/cuda/flash_attention/scores.cuh"
#include "kernels/cuda/primitives.cuh"

namespace powerhouse::cuda {

/// What follows from the parameters alone. The launcher computes it: a kernel would, before all else, and hold it in
/// registers that it does not have.
struct FlashBackwardPlan {
  FlashBackwardParams params;
  int group;           // heads of queries that read a head of keys
  int most_tiles;      // of queries, a document
  std::int64_t tiles;  // of queries, a head
  int window_left, window_right;
  float unit;  // of scores, for exp2
  ScoreChange change;
  int dropout_blocks;    // of Philox, a row
  int key_stride = 0;    // from a block's tile of keys to its next
  int* turns = nullptr;  // of each head and tile, where blocks add to sums in turn; begins with zeros

  FlashBackwardPlan(const FlashBackwardParams& p, bool modified)
      : params(p),
        group(p.forward.heads / p.forward.kv_heads),
        most_tiles((p.forward.queries + flash_backward_rows(p.forward.head_dim) - 1) /
                   flash_backward_rows(p.forward.head_dim)),
        tiles(flash_backward_tiles(p)),
        window_left(SeenKeys::reach(p.forward.window_left)),
        window_right(SeenKeys::reach(p.forward.window_right)),
        unit((modified ? 1.0f : p.forward.scale) * 1.4426950408889634f),
        change(p.forward.scale, p.forward.softcap),
        dropout_blocks((p.forward.keys + 7) / 8) {}
};

/// For each head and tile lse (times log2(e)) and then delta of its rows;
/// after all of them the sums of dq, for each slice, head and tile, in the order in which the main kernel's threads
/// hold them.
template <int kHeadDim>
struct FlashWorkspace {
  using Tile = FlashBackwardTile<kHeadDim>;
  static constexpr int kNumbers = 2 * Tile::kBlockM;            // of a tile
  static constexpr int kSums = Tile::kBlockM * Tile::kHeadDim;  // of a tile

  float *numbers, *sums;  // of the document's first tile
  int* turns;             // the same, if there are any
  std::int64_t slice_stride;

  __device__ __forceinline__ FlashWorkspace(const FlashBackwardPlan& plan, int head, int document) {
    const FlashBackwardParams& p = plan.params;
    // Of packed documents each begins a tile of its own, so that those before it had at most one more each than they
    // would have had together.
    std::int64_t at = head * plan.tiles + static_cast<std::int64_t>(document) * plan.most_tiles;
    if (p.forward.cu_seqlens_q != nullptr) {
      at = head * plan.tiles + p.forward.cu_seqlens_q[document] / Tile::kBlockM + document;
    }
    numbers = p.workspace + at * kNumbers;
    sums = p.workspace + p.forward.heads * plan.tiles * kNumbers + at * kSums;
    turns = plan.turns + at;
    slice_stride = p.forward.heads * plan.tiles * kSums;
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
