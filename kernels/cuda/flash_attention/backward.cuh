// Flash attention, backward (Dao 2023): a block holds a tile of keys and values and walks over the tiles of queries
// that see them, of all heads that read them.
//
// Scores lie transposed, keys by queries: weights and their gradients are then left operands of dv += p^T dout and
// dk += ds^T q as they come out of the products before, and stay in registers. Only dq needs them the other way, and
// reads ds from shared memory. The block's sums of dq are added to float32 sums in global memory, which the prepared
// rows (backward_rows.cuh) begin with zero.
#pragma once

#include "kernels/cuda/flash_attention/backward_warp.cuh"
#include "kernels/cuda/flash_attention/dropout.cuh"

namespace powerhouse::cuda {

/// Loads a block's keys and values from key `first` on; where warps share keys, the warp's values into registers.
template <typename Tile, typename Element, int kKept>
static __device__ __forceinline__ void load_keys(const FlashBackwardParams& p, const FlashBackwardShared<Tile>& shared,
                                                 int first, std::uint32_t (&values)[kKept][1][4]) {
  using Copy = TileCopy<Tile::kHeadDim, Tile::kThreads>;
  const FlashForwardParams& f = p.forward;
  const FlashBackwardPlace place;
  const FlashRows rows(f, place.document);
  const Copy copy_k(f.k, rows.of_keys(f.k_strides, place.kv_head), f.k_strides.row, f.head_dim, place.thread);
  const Copy copy_v(f.v, rows.of_keys(f.v_strides, place.kv_head), f.v_strides.row, f.head_dim, place.thread);
  copy_k.template load<Tile::kBlockN, true>(shared.k, first, rows.keys);
  copy_v.template load<Tile::kBlockN, true>(shared.v, first, rows.keys);
  copy_async_commit();
  if constexpr (Tile::kShared) {
    wait_for_copies();
    const WarpGradients<Tile, Element> warp(shared);
    const auto from = warp.left_rows(shared.v);
#pragma unroll
    for (int step = 0; step < kKept; ++step) load_matrix_x4(values[step][0], from.chunk(0, step * 2));
#pragma unroll
    for (int step = kKept; step < Tile::kKeySteps; ++step) {
      Words fragment;
      load_matrix_x4(fragment.word, from.chunk(0, step * 2));
      if (warp.half == 0) store_words(warp.shared_values(step), fragment);
    }
  }
}

/// The rows of a tile of queries that follow its products with keys: gradients of the output, lse and delta.
template <typename Tile, bool kChecked>
static __device__ __forceinline__ void load_output_gradients(const FlashBackwardParams& p,
                                                             const FlashBackwardShared<Tile>& shared, int tile,
                                                             int thread) {
  const FlashBackwardKept<Tile>& kept = *shared.kept;
  const TileCopy<Tile::kHeadDim, Tile::kThreads> copy(p.dout, kept.dout, p.dout_strides.row, p.forward.head_dim,
                                                      thread);
  copy.template load<Tile::kBlockM, kChecked>(shared.dout, tile * Tile::kBlockM, kept.seen.keys);
  if (thread < Tile::kBlockM / 2) {
    const float* const from = kept.numbers + static_cast<std::int64_t>(tile) * 2 * Tile::kBlockM;
    copy_async<16>(shared.numbers + thread * 4, from + thread * 4, true);
  }
  copy_async_commit();
}

/// Adds a tile of queries to the gradients. It finds the queries in shared memory and the output's gradients on their
/// way, and leaves those of the tile before it so.
template <typename Tile, typename Element, bool kModified, bool kMasked, int kKept>
static __device__ __forceinline__ void add_tile(const FlashBackwardPlan& plan, const FlashBackwardShared<Tile>& shared,
                                                int tile, const std::uint32_t (&values)[kKept][1][4],
                                                float (&dk)[1][Tile::kOutColumns][4],
                                                float (&dv)[1][Tile::kOutColumns][4]) {
  using Warp = WarpGradients<Tile, Element>;
  const FlashBackwardParams& p = plan.params;
  const FlashForwardParams& f = p.forward;
  const FlashBackwardKept<Tile>& kept = *shared.kept;
  constexpr int kParts = Tile::kParts,
                kColumns = Tile::kScoreColumns / kParts;  // fragments of a part
  const Warp warp(shared);
  unsigned bits = ~0u;
  if (kModified && f.dropout.threshold != 0) {
    const std::int64_t row = kept.dropout_row + tile * Tile::kBlockM + warp.half * Tile::kScoreColumns * 8;
    const int group = (kept.first + warp.keys) / 8;
    bits = kept_elements<Tile::kScoreColumns>(f.dropout, row, plan.dropout_blocks, group, warp.lane);
  }
  const int key = kept.first + warp.keys + warp.lane / 4;
  std::uint32_t dscores[Tile::kScoreColumns][2];
#pragma unroll
  for (int part = 0; part < kParts; ++part) {
    const int column = warp.column() + part * kColumns * 8;
    float scores[1][kColumns][4] = {}, dweights[1][kColumns][4] = {};
    std::uint32_t weights[kColumns][2];
    warp.multiply_rows(shared.k, shared.q, part, scores);
    if (part == 0) wait_for_copies();  // the output's gradients
    make_weights<kModified, kMasked>(scores, kept.seen, key, tile * Tile::kBlockM + column, plan.change, kept.slope,
                                     shared.numbers + column, plan.unit, bits >> part * kColumns * 4, weights,
                                     Element{});
    if constexpr (Tile::kShared) {
      warp.put_scores(weights, shared.weights);
      const auto with = warp.right_rows(shared.dout);
#pragma unroll
      for (int step = 0; step < kKept; ++step) add_products_with_rows<Element>(step, values[step], with, dweights);
#pragma unroll
      for (int step = kKept; step < Tile::kKeySteps; ++step) {
        const Words words = load_words(warp.shared_values(step));
        const std::uint32_t fragment[1][4] = {{words.word[0], words.word[1], words.word[2], words.word[3]}};
        add_products_with_rows<Element>(step, fragment, with, dweights);
      }
    } else {
      warp.add_columns(part * kColumns / 2, weights, shared.dout, dv);
      warp.multiply_rows(shared.v, shared.dout, part, dweights);
    }
    if (kModified && Tile::kHeadDim == 256)
      bits = shuffle_xor(bits, 0);  // the same; but what was tested before is tested again, not kept
    make_score_gradients<kModified>(scores, dweights, shared.numbers + Tile::kBlockM + column,
                                    bits >> part * kColumns * 4, f.dropout.kept, weights, Element{});
#pragma unroll
    for (int n = 0; n < kColumns; ++n) {
      dscores[part * kColumns + n][0] = weights[n][0];
      dscores[part * kColumns + n][1] = weights[n][1];
    }
  }
  if (Tile::kOverlaid) sync_block();  // no warp reads the output's gradients any more
  warp.put_scores(dscores, shared.dscores);
  if constexpr (!Tile::kShared) warp.add_columns(0, dscores, shared.q, dk);
  sync_block();  // all gradients of scores are there
  if constexpr (Tile::kShared) {
    warp.add_columns(shared.weights, shared.dout, dv);
    warp.add_columns(shared.dscores, shared.q, dk);
    sync_block();  // no warp reads these queries any more
  }
  if (tile > kept.tiles.begin) {
    const TileCopy<Tile::kHeadDim, Tile::kThreads> copy(f.q, kept.q, f.q_strides.row, f.head_dim, warp.thread);
    copy.template load<Tile::kBlockM, false>(shared.q, (tile - 1) * Tile::kBlockM, kept.seen.keys);
  }
  copy_async_commit();
  warp.add_query_gradients(kept.sums + static_cast<std::int64_t>(tile) * Tile::kBlockM * Tile::kHeadDim);
  wait_for_copies();  // the next queries; and no warp reads these gradients of scores any more
  if (tile > kept.tiles.begin) load_output_gradients<Tile, false>(p, shared, tile - 1, warp.thread);
}

/// Says what there is to know of the next head of queries. Returns its last tile, whose queries it has brought, and
/// whose output's gradients are on their way; below the first where there is none.
template <typename Tile, typename Element>
static __device__ __forceinline__ int begin_head(const FlashBackwardPlan& plan,
                                                 const FlashBackwardShared<Tile>& shared) {
  const FlashBackwardParams& p = plan.params;
  const FlashForwardParams& f = p.forward;
  const int thread = FlashBackwardPlace().thread;
  sync_block();  // no warp reads what was said of the head before
  if (thread == 0) {
    *shared.kept = FlashBackwardKept<Tile>(plan, shared.kept->first, shared.kept->heads_left);
  }
  sync_block();
  const FlashBackwardKept<Tile>& kept = *shared.kept;
  const int tile = kept.tiles.end - 1;
  if (tile < kept.tiles.begin) return tile;
  const TileCopy<Tile::kHeadDim, Tile::kThreads> copy(f.q, kept.q, f.q_strides.row, f.head_dim, thread);
  copy.template load<Tile::kBlockM, true>(shared.q, tile * Tile::kBlockM, kept.seen.keys);
  copy_async_commit();
  wait_for_copies();
  load_output_gradients<Tile, true>(p, shared, tile, thread);
  return tile;
}

/// Gradients of the keys and values from key `first` on. What the loop needs of the block is kept in shared memory.
template <typename Tile, typename Element, bool kModified>
static __device__ __forceinline__ void add_heads(const FlashBackwardPlan& plan, const FlashBackwardShared<Tile>& shared,
                                                 int first) {
  const FlashBackwardParams& p = plan.params;
  const FlashForwardParams& f = p.forward;
  const FlashBackwardKept<Tile>& kept = *shared.kept;
  std::uint32_t values[Tile::kValueSteps][1][4];
  load_keys<Tile, Element>(p, shared, first, values);
  if (FlashBackwardPlace().thread == 0) {
    shared.kept->first = first;
    shared.kept->heads_left = plan.group;
  }
  float dk[1][Tile::kOutColumns][4] = {}, dv[1][Tile::kOutColumns][4] = {};
  do {
    int tile = begin_head<Tile, Element>(plan, shared);
    while (tile >= kept.tiles.begin) {
      for (; tile >= kept.tiles.begin && !kept.tiles.whole(tile); --tile) {
        add_tile<Tile, Element, kModified, true>(plan, shared, tile, values, dk, dv);
      }
      for (; tile >= kept.tiles.begin && kept.tiles.whole(tile); --tile) {
        add_tile<Tile, Element, kModified, false>(plan, shared, tile, values, dk, dv);
      }
    }
  } while (kept.heads_left > 0);
  wait_for_copies();
  const FlashBackwardPlace place;
  const WarpGradients<Tile, Element> warp(shared);
  const FlashRows rows(f, place.document);
  const std::int64_t to_k = rows.of_keys(p.dk_strides, place.kv_head) + kept.first * p.dk_strides.row;
  const std::int64_t to_v = rows.of_keys(p.dv_strides, place.kv_head) + kept.first * p.dv_strides.row;
  const int left = rows.keys - kept.first;
  store_key_gradients(warp, shared.k, dk, f.scale, p.dk, to_k, p.dk_strides.row, left, f.head_dim);
  store_key_gradients(warp, shared.v, dv, f.dropout.kept, p.dv, to_v, p.dv_strides.row, left, f.head_dim);
}

/// Grid: tiles of keys, or slices of them; heads of keys; documents. kModified: there is a softcap, ALiBi or dropout.
template <int kHeadDim, typename Element, bool kModified>
__global__ void __launch_bounds__(FlashBackwardTile<kHeadDim, kModified>::kThreads, 1)
    flash_backward_kernel(const FlashBackwardPlan plan) {
  using Tile = FlashBackwardTile<kHeadDim, kModified>;
  constexpr int kBlockN = Tile::kBlockN;
  const FlashBackwardShared<Tile> shared;
  int first = FlashBackwardPlace().slice * kBlockN;
  while (first < FlashRows(plan.params.forward, FlashBackwardPlace().document).keys) {
    add_heads<Tile, Element, kModified>(plan, shared, first);
    first = shared.kept->first + plan.key_stride;
    sync_block();  // before the next keys take the place of what was stored
  }
}

}  // namespace powerhouse::cuda
