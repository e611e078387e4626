// What a block of flash attention's backward kernel for Hopper holds in shared memory, and which part of the problem it
// works on.
#pragma once

#include "kernels/cuda/flash_attention/backward_workspace.cuh"
#include "kernels/cuda/flash_attention/document.cuh"
#include "kernels/cuda/flash_attention/hopper_backward_tile.h"
#include "kernels/cuda/flash_attention/mask.cuh"

namespace powerhouse::cuda {

/// What follows from the parameters alone, and how blocks are ordered: all first tiles of keys of so many heads, then
/// all second ones. Under a causal mask that is from the longest walk to the shortest, so that the last blocks end
/// together, while the heads' queries still lie in the L2 cache.
struct HopperBackwardPlan : FlashBackwardPlan {
  using FlashBackwardPlan::FlashBackwardPlan;
  int blocks = 1;    // a head of keys: tiles, or slices of them
  int together = 1;  // heads of keys
};

/// What all threads of a block need for each tile of queries. It lies in shared memory, since gradients leave no
/// registers.
template <typename Tile>
struct HopperBackwardKept {
  std::int64_t q, dout;   // elements from the tensors' beginnings to the document's rows of the first head of the group
  float *numbers, *sums;  // of its first tile
  int* turns;             // the same
  int first;              // of the block's keys
  int slice, kv_head, document;
  SeenKeys seen;  // of keys by queries: the two have changed places
  SeenTiles<Tile::kBlockM> tiles;

  /// Of the block's first keys.
  __device__ __forceinline__ explicit HopperBackwardKept(const HopperBackwardPlan& plan) {
    const FlashForwardParams& f = plan.params.forward;
    const int block = read_place().block_x, of_round = plan.together * plan.blocks;
    const int begin = block / of_round * plan.together;  // the first head of the round
    const int heads = smaller(plan.together, f.kv_heads * f.batch - begin);
    const int head = begin + block % of_round % heads;
    slice = block % of_round / heads;
    kv_head = head % f.kv_heads;
    document = head / f.kv_heads;
    const FlashRows rows(f, document);
    const FlashWorkspace<Tile::kHeadDim> space(plan, kv_head * plan.group, document);
    q = rows.of_queries(f.q_strides, kv_head * plan.group);
    dout = rows.of_queries(plan.params.dout_strides, kv_head * plan.group);
    numbers = space.numbers;
    sums = space.sums + (plan.params.slices > 0 ? slice * space.slice_stride : 0);
    turns = space.turns;
    seen = {rows.keys, rows.queries, rows.queries - rows.keys, plan.window_right, plan.window_left};
    begin_keys(slice * Tile::kBlockN);
  }
  __device__ __forceinline__ void begin_keys(int first_) {
    first = first_;
    tiles = SeenTiles<Tile::kBlockM>(seen, first, smaller(first + Tile::kBlockN, seen.queries) - 1);
    // Keys beyond the last are zero but would have weights: no tile is whole.
    if (first + Tile::kBlockN > seen.queries) tiles.full_end = tiles.full_begin;
  }
  /// How many tiles of keys before the block's see a tile of queries that the block's own sees: all from the first on
  /// that does.
  __device__ __forceinline__ int turn(int tile) const {
    const int first_seen = larger(0, tile * Tile::kBlockM - seen.offset - seen.right);
    return first / Tile::kBlockN - first_seen / Tile::kBlockN;
  }
};

/// A block's tiles in shared memory, of 64 columns a segment (segments.cuh).
template <typename Tile>
struct HopperBackwardShared {
  using Kept = HopperBackwardKept<Tile>;
  static_assert(sizeof(Kept) <= Tile::kKeptBytes);

  unsigned char *k, *v;     // [kBlockN, kHeadDim]
  unsigned char* dscores;   // [kBlockN, kBlockM]
  unsigned char *q, *dout;  // [kBlockM, kHeadDim], of a stage
  float* numbers;           // [2, kBlockM]: lse and delta, of a stage
  Kept* kept;

  __device__ __forceinline__ explicit HopperBackwardShared(int stage) {
    k = shared_memory();
    v = k + Tile::kKeyBytes;
    dscores = v + Tile::kKeyBytes;
    unsigned char* const queries = dscores + Tile::kScoreBytes;
    q = queries + stage * 2 * Tile::kQueryBytes;
    dout = q + Tile::kQueryBytes;
    unsigned char* const behind = queries + Tile::kStages * 2 * Tile::kQueryBytes;
    numbers = reinterpret_cast<float*>(behind + stage * Tile::kNumberBytes);
    kept = reinterpret_cast<Kept*>(behind + Tile::kStages * Tile::kNumberBytes);
  }
};

}  // namespace powerhouse::cuda
