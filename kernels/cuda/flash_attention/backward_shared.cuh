// What a block of flash attention's backward kernel holds in shared memory.
#pragma once

#include "kernels/cuda/flash_attention/backward_workspace.cuh"
#include "kernels/cuda/flash_attention/document.cuh"
#include "kernels/cuda/flash_attention/mask.cuh"

namespace powerhouse::cuda {

/// The part of the problem that a thread works on, read anew from the hardware.
struct FlashBackwardPlace {
  int thread, slice, kv_head, document;

  __device__ __forceinline__ FlashBackwardPlace() {
    const Place place = read_place();
    thread = place.thread;
    slice = place.block_x;
    kv_head = place.block_y;
    document = place.block_z;
  }
};

/// What all threads of a block need for each tile of queries. It lies in shared memory, since gradients leave no
/// registers.
template <typename Tile>
struct FlashBackwardKept {
  std::int64_t q, dout;      // elements from the tensors' beginnings
  std::int64_t dropout_row;  // where the dropout counts the document's first query of the head
  float *numbers, *sums;     // of the document's first tile
  float slope;               // of the head
  int first;                 // of the block's keys
  int heads_left;            // after this one
  SeenKeys seen;             // of keys by queries: the two have changed places
  SeenTiles<Tile::kBlockM> tiles;

  /// Of the first of `heads` heads that are left of those that read the block's keys.
  __device__ __forceinline__ FlashBackwardKept(const FlashBackwardPlan& plan, int first_, int heads)
      : first(first_), heads_left(heads - 1) {
    const FlashBackwardParams& p = plan.params;
    const FlashBackwardPlace place;
    const FlashRows rows(p.forward, place.document);
    const int head = (place.kv_head + 1) * plan.group - heads;
    q = rows.of_queries(p.forward.q_strides, head);
    dout = rows.of_queries(p.dout_strides, head);
    dropout_row = (static_cast<std::int64_t>(place.document) * p.forward.heads + head) * p.forward.queries;
    slope = p.forward.alibi_slopes != nullptr ? p.forward.alibi_slopes[head] : 0.0f;
    seen = {rows.keys, rows.queries, rows.queries - rows.keys, plan.window_right, plan.window_left};
    tiles = SeenTiles<Tile::kBlockM>(seen, first, smaller(first + Tile::kBlockN, rows.keys) - 1);
    const FlashWorkspace<Tile::kHeadDim> space(plan, head, place.document);
    numbers = space.numbers;
    sums = space.sums + (p.slices > 0 ? place.slice * space.slice_stride : 0);
    // Keys beyond the last are zero but would have weights: no tile is whole.
    if (first + Tile::kBlockN > rows.keys) tiles.full_end = tiles.full_begin;
  }
};
static_assert(sizeof(FlashBackwardKept<FlashBackwardTile<128>>) <= FlashBackwardTile<128>::kKeptBytes);

/// A block's tiles in shared memory.
template <typename Tile>
struct FlashBackwardShared {
  unsigned char *k, *v;              // [kBlockN, kHeadDim]
  unsigned char *q, *dout;           // [kBlockM, kHeadDim]
  unsigned char *dscores, *weights;  // [kBlockN, kBlockM]
  float* numbers;                    // [2, kBlockM]
  FlashBackwardKept<Tile>* kept;
  unsigned char* values;  // fragments that found no registers

  __device__ __forceinline__ FlashBackwardShared() {
    k = shared_memory();
    q = k + (Tile::kShared ? 1 : 2) * Tile::kKeyBytes;
    v = Tile::kShared ? q : k + Tile::kKeyBytes;
    dout = q + Tile::kQueryBytes;
    unsigned char* const behind = dout + Tile::kQueryBytes;
    dscores = Tile::kOverlaid ? dout : behind;
    weights = behind + Tile::kScoreBytes;
    unsigned char* const last = Tile::kOverlaid ? behind : behind + (Tile::kShared ? 2 : 1) * Tile::kScoreBytes;
    numbers = reinterpret_cast<float*>(last);
    kept = reinterpret_cast<FlashBackwardKept<Tile>*>(last + Tile::kNumberBytes);
    values = last + Tile::kNumberBytes + Tile::kKeptBytes;
  }
};

}  // namespace powerhouse::cuda
