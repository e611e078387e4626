// Flash attention, backward, for Hopper: the walk of backward.cuh with the products of warpgroups, whose operands the
// tensor cores read from shared memory themselves.
//
// A warp holds what it holds there: rows of keys by queries, whose weights and gradients are left operands of dv and dk
// as they come. While a thread makes weights the product that gives their gradients runs, while it makes gradients of
// scores the one with dout runs, and while it adds dq to its sums the next scores are made. Tiles of queries come a
// whole step ahead, across heads of a group too.
#pragma once

#include "kernels/cuda/flash_attention/backward_warp.cuh"
#include "kernels/cuda/flash_attention/hopper_backward_group.cuh"

namespace powerhouse::cuda {

/// A tile of queries of a head of the group. From the last tile to the first, then the next head.
struct HopperStep {
  int head, tile;

  template <int kBlock>
  __device__ __forceinline__ void next(const SeenTiles<kBlock>& tiles) {
    if (--tile >= tiles.begin) return;
    tile = tiles.end - 1;
    ++head;
  }
};

/// Asks for the queries of a step, the output's gradients, lse and delta.
template <typename Tile>
static __device__ __forceinline__ void load_step(const HopperBackwardPlan& plan, int stage, const HopperStep& step) {
  const HopperBackwardShared<Tile> shared(stage);
  const HopperBackwardKept<Tile>& kept = *shared.kept;
  const FlashBackwardParams& p = plan.params;
  const FlashForwardParams& f = p.forward;
  const int first = step.tile * Tile::kBlockM, queries = kept.seen.keys, thread = read_place().thread;
  load_segments<Tile::kHeadDim, Tile::kBlockM, Tile::kThreads>(shared.q, f.q, kept.q + step.head * f.q_strides.head,
                                                               f.q_strides.row, first, queries, f.head_dim);
  load_segments<Tile::kHeadDim, Tile::kBlockM, Tile::kThreads>(
      shared.dout, p.dout, kept.dout + step.head * p.dout_strides.head, p.dout_strides.row, first, queries, f.head_dim);
  if (thread < Tile::kBlockM / 2) {
    // The workspace has lse and then delta of kRows rows, shared memory of all rows of the tile.
    constexpr int kRows = Tile::kRows, kParts = Tile::kBlockM / kRows;
    const int part = thread / (kRows / 2), kind = thread / (kRows / 4) % 2, at = thread % (kRows / 4) * 4;
    const std::int64_t from = step.head * plan.tiles + step.tile * kParts + part;
    copy_async<16>(shared.numbers + kind * Tile::kBlockM + part * kRows + at,
                   kept.numbers + from * 2 * kRows + kind * kRows + at, first + part * kRows < queries);
  }
}

/// Asks for the block's keys and values.
template <typename Tile>
static __device__ __forceinline__ void load_keys(const HopperBackwardPlan& plan) {
  const HopperBackwardShared<Tile> shared(0);
  const HopperBackwardKept<Tile>& kept = *shared.kept;
  const FlashForwardParams& f = plan.params.forward;
  const FlashRows rows(f, kept.document);
  load_segments<Tile::kHeadDim, Tile::kBlockN, Tile::kThreads>(shared.k, f.k, rows.of_keys(f.k_strides, kept.kv_head),
                                                               f.k_strides.row, kept.first, rows.keys, f.head_dim);
  load_segments<Tile::kHeadDim, Tile::kBlockN, Tile::kThreads>(shared.v, f.v, rows.of_keys(f.v_strides, kept.kv_head),
                                                               f.v_strides.row, kept.first, rows.keys, f.head_dim);
}

/// Adds a step to the gradients of keys and values. It finds its scores in `scores`, and leaves those of the next,
/// which is of any value where there is none.
template <typename Tile, typename Element>
static __device__ __forceinline__ void add_step(const HopperBackwardPlan& plan, int stage, const HopperStep& step,
                                                bool last, float (&scores)[1][Tile::kScoreColumns][4],
                                                float (&dk)[1][Tile::kOutColumns][4],
                                                float (&dv)[1][Tile::kOutColumns][4]) {
  using Group = GroupGradients<Tile, Element>;
  const HopperBackwardShared<Tile> shared(stage);
  const HopperBackwardKept<Tile>& kept = *shared.kept;
  typename Group::Scores dweights;
  typename Group::Pairs weights, dscores;
  warpgroup_fence();
  Group::multiply_rows(shared.v, shared.dout, dweights);
  {
    const int lane = read_place().thread % 32, column = lane % 4 * 2;
    const int key = kept.first + first_key<Tile>() + lane / 4, query = step.tile * Tile::kBlockM + column;
    if (kept.tiles.whole(step.tile)) {
      make_weights<false, false>(scores, kept.seen, key, query, plan.change, 0.0f, shared.numbers + column, plan.unit,
                                 ~0u, weights, Element{});
    } else {
      make_weights<false, true>(scores, kept.seen, key, query, plan.change, 0.0f, shared.numbers + column, plan.unit,
                                ~0u, weights, Element{});
    }
  }
  warpgroup_fence();  // weights are in registers
  Group::add_columns(weights, shared.dout, dv);
  warpgroup_wait<1>();  // the weights' gradients
  keep_registers(dweights[0]);
  make_score_gradients<false>(scores, dweights, shared.numbers + Tile::kBlockM + read_place().thread % 4 * 2, ~0u, 1.0f,
                              dscores, Element{});
  Group::put_scores(dscores, shared.dscores);
  copy_async_wait<0>();  // the next step's tiles
  fence_async();         // what was stored and copied
  sync_block();          // all gradients of scores are there
  typename Group::QueryGradients dq;
  const unsigned char* const next = HopperBackwardShared<Tile>(last ? stage : stage ^ 1).q;
  float* const sums = kept.sums + step.head * plan.tiles * QuerySums<Tile>::kTile;
  warpgroup_fence();  // gradients of scores are in registers
  Group::multiply_columns(shared.dscores, shared.k, 0, dq);
  Group::add_columns(dscores, shared.q, dk);
  if constexpr (Tile::kSquares == 1) Group::multiply_rows(shared.k, next, scores);
  int* const turns = kept.turns + step.head * plan.tiles + step.tile * (Tile::kBlockM / Tile::kRows);
  const bool in_turn = plan.turns != nullptr;
  if (in_turn) wait_for_turn(turns, kept.turn(step.tile));
  warpgroup_wait<Tile::kSquares == 1 ? 2 : 1>();  // the queries' gradients
  keep_registers(dq);
  Group::add_square(dq, 0, sums, step.tile, kept.seen.keys);
  if constexpr (Tile::kSquares == 2) {
    warpgroup_fence();
    Group::multiply_columns(shared.dscores, shared.k, 1, dq);
    Group::multiply_rows(shared.k, next, scores);
    warpgroup_wait<1>();
    keep_registers(dq);
    Group::add_square(dq, 1, sums, step.tile, kept.seen.keys);
  }
  warpgroup_wait<1>();  // the keys' gradients
  sync_block();         // no warp reads these queries, nor these gradients of scores, any more
  if (in_turn && read_place().thread == 0) end_turn(turns);
}

/// Gradients of the keys and values that are kept.
template <typename Tile, typename Element>
static __device__ __forceinline__ void add_steps(const HopperBackwardPlan& plan) {
  using Group = GroupGradients<Tile, Element>;
  const HopperBackwardShared<Tile> shared(0);
  const HopperBackwardKept<Tile>& kept = *shared.kept;
  const FlashBackwardParams& p = plan.params;
  const FlashForwardParams& f = p.forward;
  float dk[1][Tile::kOutColumns][4] = {}, dv[1][Tile::kOutColumns][4] = {};
  HopperStep step{0, kept.tiles.end - 1}, ahead = step;
  int left = larger(0, kept.tiles.end - kept.tiles.begin) * plan.group, stage = 0;
  if (left > 0) {
    float scores[1][Tile::kScoreColumns][4];
    load_keys<Tile>(plan);
    load_step<Tile>(plan, 0, ahead);
    copy_async_commit();
    ahead.next(kept.tiles);
    if (left > 1) load_step<Tile>(plan, 1, ahead);
    copy_async_commit();
    copy_async_wait<1>();
    fence_async();
    sync_block();
    warpgroup_fence();
    Group::multiply_rows(shared.k, shared.q, scores);
    warpgroup_wait<0>();
    keep_registers(scores[0]);
    do {
      add_step<Tile, Element>(plan, stage, step, left == 1, scores, dk, dv);
      step.next(kept.tiles);
      ahead.next(kept.tiles);
      if (left > 2) load_step<Tile>(plan, stage, ahead);
      copy_async_commit();
      stage ^= 1;
      warpgroup_wait<0>();
      keep_registers(scores[0]);
    } while (--left > 0);
    keep_registers(dk[0]);
    keep_registers(dv[0]);
    copy_async_wait<0>();
  }
  sync_block();  // no product reads keys and values any more: their places are free for gradients
  const FlashRows rows(f, kept.document);
  const std::int64_t to_k = rows.of_keys(p.dk_strides, kept.kv_head) + kept.first * p.dk_strides.row;
  const std::int64_t to_v = rows.of_keys(p.dv_strides, kept.kv_head) + kept.first * p.dv_strides.row;
  const int segment = first_segment<Tile>(), column = segment * 64;
  store_segments<Tile::kBlockN>(shared.k + segment * Tile::kBlockN * 128, first_key<Tile>(), dk[0], f.scale, p.dk,
                                to_k + column, p.dk_strides.row, rows.keys - kept.first, f.head_dim - column,
                                Element{});
  store_segments<Tile::kBlockN>(shared.v + segment * Tile::kBlockN * 128, first_key<Tile>(), dv[0], 1.0f, p.dv,
                                to_v + column, p.dv_strides.row, rows.keys - kept.first, f.head_dim - column,
                                Element{});
}

/// Grid: tiles of keys, or slices of them, of all heads of keys and documents, in the order of HopperBackwardPlan.
/// With turns blocks add to sums in the order of their keys, which is that in which they start.
template <int kHeadDim, typename Element>
__global__ void __launch_bounds__(HopperBackwardTile<kHeadDim>::kThreads, 1)
    hopper_backward_kernel(const HopperBackwardPlan plan) {
  using Tile = HopperBackwardTile<kHeadDim>;
  HopperBackwardKept<Tile>& kept = *HopperBackwardShared<Tile>(0).kept;
  if (read_place().thread == 0) kept = HopperBackwardKept<Tile>(plan);
  sync_block();
  while (kept.first < kept.seen.queries) {
    add_steps<Tile, Element>(plan);
    sync_block();  // before the next keys take the place of what was stored
    if (read_place().thread == 0) kept.begin_keys(kept.first + plan.key_stride);
    sync_block();
  }
}

/// Grid: tiles of the workspace, heads, documents. dq = scale times the sums, in order of the slices, rounded once.
template <int kHeadDim, typename Element>
__global__ void __launch_bounds__(HopperBackwardTile<kHeadDim>::kThreads, 6)
    hopper_backward_finish_kernel(const FlashBackwardPlan plan) {
  using Tile = HopperBackwardTile<kHeadDim>;
  using Sums = QuerySums<Tile>;
  using Lay = Swizzle<kHeadDim>;
  constexpr int kRows = Tile::kRows, kChunks = kHeadDim / 8, kOwn = kChunks / (Tile::kThreads / Sums::kLanes);
  const FlashBackwardParams& p = plan.params;
  const FlashForwardParams& f = p.forward;
  const Place place = read_place();
  const int head = place.block_y, lane = place.thread % Sums::kLanes;
  const int first = place.block_x * kRows, slices = p.slices > 0 ? p.slices : 1;
  const FlashRows rows(f, place.block_z);
  if (first >= rows.queries) return;
  const FlashWorkspace<kHeadDim> space(plan, head, place.block_z);
  const float* const sums = space.sums + place.block_x * std::int64_t{Sums::kTile} + lane * 4;
  unsigned char* const staging = shared_memory();  // [kRows, kHeadDim]
#pragma unroll
  for (int n = 0; n < kOwn; ++n) {
    const int chunk = place.thread / Sums::kLanes * kOwn + n;
    float four[4] = {};
    for (int slice = 0; slice < slices; ++slice) {
      float of_slice[4];
      load_elements<4>(sums + slice * space.slice_stride + chunk * Sums::kChunk, of_slice);
#pragma unroll
      for (int e = 0; e < 4; ++e) four[e] += of_slice[e];
    }
#pragma unroll
    for (int below = 0; below < 2; ++below) {
      const int row = lane / 32 * 16 + below * 8 + lane % 32 / 4;
      store_as(staging + row * kHeadDim * 2 + Lay::chunk(chunk, Lay::of_row(row)) + lane % 4 * 4,
               pack(four[below * 2] * f.scale, four[below * 2 + 1] * f.scale, Element{}));
    }
  }
  sync_block();
  auto* const dq = static_cast<Element*>(p.dq) + rows.of_queries(p.dq_strides, head);
  for (int at = place.thread; at < kRows * kChunks; at += Tile::kThreads) {
    const int row = at / kChunks, chunk = at % kChunks;
    if (first + row >= rows.queries || chunk * 8 >= f.head_dim) continue;
    store_words(dq + (first + row) * p.dq_strides.row + chunk * 8,
                load_words(staging + row * kHeadDim * 2 + Lay::chunk(chunk, Lay::of_row(row))));
  }
}

}  // namespace powerhouse::cuda
