// Flash attention, backward (Dao 2023): a block holds a tile of keys and values and walks over the tiles of queries
// that see them, of all heads that read them.
//
// Scores lie transposed, keys by queries: weights and their gradients are then left operands of dv += p^T dout and
// dk += ds^T q as they come out of the products before, and stay in registers. Only dq needs them the other way, and
// reads ds from shared memory. The block's sums of dq are added to float32 sums in global memory, which the prepared
// rows (backward_rows.cuh) begin with zero.
#pragma once

#include "kernels/cuda/elements.cuh"
#include "kernels/cuda/flash_attention/backward_workspace.cuh"
#include "kernels/cuda/flash_attention/copy.cuh"
#include "kernels/cuda/flash_attention/document.cuh"
#include "kernels/cuda/flash_attention/mask.cuh"
#include "kernels/cuda/flash_attention/products.cuh"
#include "kernels/cuda/flash_attention/scores.cuh"

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
template <int kHeadDim>
struct FlashBackwardKept {
  using Tile = FlashBackwardTile<kHeadDim>;

  std::int64_t q, dout;   // elements from the tensors' beginnings
  float *numbers, *sums;  // of the document's first tile
  int first;              // of the block's keys
  SeenKeys seen;          // of keys by queries: the two have changed places
  SeenTiles<Tile::kBlockM> tiles;

  __device__ __forceinline__ FlashBackwardKept(const FlashBackwardParams& p, const FlashRows& rows, int head,
                                               int document, int slice, int first_)
      : q(rows.of_queries(p.forward.q_strides, head)),
        dout(rows.of_queries(p.dout_strides, head)),
        first(first_),
        seen{rows.keys, rows.queries, rows.queries - rows.keys, SeenKeys::reach(p.forward.window_right),
             SeenKeys::reach(p.forward.window_left)},
        tiles(seen, first, smaller(first + Tile::kBlockN, rows.keys) - 1) {
    const FlashWorkspace<kHeadDim> space(p, head, document);
    numbers = space.numbers;
    sums = space.sums + (p.slices > 0 ? slice * space.slice_stride : 0);
    // Keys beyond the last are zero but would have weights: no tile is whole.
    if (first + Tile::kBlockN > rows.keys) tiles.full_end = tiles.full_begin;
  }
};
static_assert(sizeof(FlashBackwardKept<128>) <= FlashBackwardTile<128>::kKeptBytes);

/// A block's tiles in shared memory.
template <int kHeadDim>
struct FlashBackwardShared {
  using Tile = FlashBackwardTile<kHeadDim>;
  unsigned char *k, *v;              // [kBlockN, kHeadDim]
  unsigned char *q, *dout;           // [kBlockM, kHeadDim]
  unsigned char *dscores, *weights;  // [kBlockN, kBlockM]
  float* numbers;                    // [2, kBlockM]
  FlashBackwardKept<kHeadDim>* kept;

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
    kept = reinterpret_cast<FlashBackwardKept<kHeadDim>*>(last + Tile::kNumberBytes);
  }
};

/// A warp's part of the work on a block's tiles.
template <int kHeadDim, typename Element>
struct WarpGradients {
  using Tile = FlashBackwardTile<kHeadDim>;
  using ScoreRow = Swizzle<Tile::kBlockM>;
  using Scores = float[1][Tile::kScoreColumns][4];
  using Gradients = float[1][Tile::kOutColumns][4];
  using Fragment = std::uint32_t[1][4];

  const FlashBackwardShared<kHeadDim>& shared;
  int warp, lane, keys, half;  // keys: the first of the warp's in the tile; half: of what sharers share

  __device__ __forceinline__ WarpGradients(const FlashBackwardShared<kHeadDim>& shared_, int thread)
      : shared(shared_), warp(thread >> 5), lane(thread & 31) {
    keys = (Tile::kShared ? warp % (Tile::kWarps / 2) : warp) * 16;
    half = Tile::kShared ? warp / (Tile::kWarps / 2) : 0;
  }

  /// The row of keys or values that the lane gives.
  __device__ __forceinline__ LaneRow<kHeadDim> left_rows(const unsigned char* tile) const {
    return LaneRow<kHeadDim>::below(tile + keys * Tile::kBytesOfRow, lane);
  }
  /// Of queries, or gradients of the output, whose scores the warp makes.
  __device__ __forceinline__ LaneRow<kHeadDim> right_rows(const unsigned char* tile) const {
    return LaneRow<kHeadDim>::beside(tile + half * Tile::kScoreColumns * 8 * Tile::kBytesOfRow, lane);
  }

  /// scores += keys tile^T.
  __device__ __forceinline__ void multiply_rows(const unsigned char* left, const unsigned char* right,
                                                Scores& scores) const {
    const LaneRow<kHeadDim> from = left_rows(left), with = right_rows(right);
#pragma unroll
    for (int step = 0; step < Tile::kKeySteps; ++step) {
      Fragment fragment;
      load_matrix_x4(fragment[0], from.chunk(0, step * 2));
      add_products_with_rows<Element>(step, fragment, with, scores);
    }
  }

  /// gradients += left tile, for one step of 16 queries. A sharer has half of the columns of each segment.
  __device__ __forceinline__ void add_columns(int step, const Fragment& left, const unsigned char* tile,
                                              Gradients& gradients) const {
    LaneRow<kHeadDim> with = LaneRow<kHeadDim>::below(tile, lane);
    with.bits ^= half * 4;
    add_products_with_columns<Element>(step, left, with, gradients,
                                       [](int n) { return Tile::kShared ? n / 4 * 8 + n % 4 : n; });
  }
  /// The same over all queries, of scores that sharers have put into shared memory.
  __device__ __forceinline__ void add_columns(const unsigned char* scores, const unsigned char* tile,
                                              Gradients& gradients) const {
    const auto from = LaneRow<Tile::kBlockM>::below(scores + keys * Tile::kBlockM * 2, lane);
#pragma unroll
    for (int step = 0; step < Tile::kBlockM / 16; ++step) {
      Fragment fragment;
      load_matrix_x4(fragment[0], from.chunk(0, step * 2));
      add_columns(step, fragment, tile, gradients);
    }
  }

  /// Rounded pairs of scores into [kBlockN, kBlockM].
  __device__ __forceinline__ void put_scores(const std::uint32_t (&pairs)[Tile::kScoreColumns][2],
                                             unsigned char* to) const {
    unsigned char* const row = to + (keys + lane / 4) * Tile::kBlockM * 2 + lane % 4 * 4;
    const int bits = ScoreRow::of_row(lane / 4) ^ half * Tile::kScoreColumns;
#pragma unroll
    for (int n = 0; n < Tile::kScoreColumns; ++n) {
#pragma unroll
      for (int below = 0; below < 2; ++below) {
        store_as(row + below * 8 * Tile::kBlockM * 2 + ScoreRow::chunk(n, bits), pairs[n][below]);
      }
    }
  }

  /// The block's ds k, added to the sums of the tile's dq.
  __device__ __forceinline__ void add_query_gradients(float* sums) const {
    const QueryPart<kHeadDim> part(warp);
    auto from = LaneRow<Tile::kBlockM>::beside(shared.dscores, lane);
    from.bits ^= part.row / 8;
    const auto with = LaneRow<kHeadDim>::below(shared.k, lane);
    float dq[Tile::kQueryBlocks][Tile::kQueryColumns][4] = {};
#pragma unroll
    for (int step = 0; step < Tile::kBlockN / 16; ++step) {
      std::uint32_t left[Tile::kQueryBlocks][4];
#pragma unroll
      for (int block = 0; block < Tile::kQueryBlocks; ++block) {
        load_matrix_x4_transposed(left[block], from.chunk(step, block * 2));
      }
      add_products_with_columns<Element>(step, left, with, dq, [&](int n) { return part.chunk + n; });
    }
    float* const own = sums + warp * 32 + lane;
#pragma unroll
    for (int i = 0; i < Tile::kQueryBlocks * Tile::kQueryColumns * 4; ++i) {
      add_to_global(own + i * Tile::kThreads, dq[i / 4 / Tile::kQueryColumns][i / 4 % Tile::kQueryColumns][i % 4]);
    }
  }
};

/// Scores become weights exp2(unit score - lse), rounded in `pairs` and, times what the softcap does to gradients, in
/// their place.
template <bool kModified, int kScoreColumns, typename Element>
static __device__ __forceinline__ void make_weights(float (&scores)[1][kScoreColumns][4],
                                                    const float (&derivatives)[kScoreColumns][4], const float* lse,
                                                    float unit, std::uint32_t (&pairs)[kScoreColumns][2], Element) {
#pragma unroll
  for (int n = 0; n < kScoreColumns; ++n) {
    float of_query[2];
    load_elements<2>(lse + n * 8, of_query);
#pragma unroll
    for (int e = 0; e < 4; ++e) {
      float& score = scores[0][n][e];
      score = exp2_approximate(score * unit - of_query[e % 2]);
    }
    pairs[n][0] = pack(scores[0][n][0], scores[0][n][1], Element{});
    pairs[n][1] = pack(scores[0][n][2], scores[0][n][3], Element{});
#pragma unroll
    for (int e = 0; e < 4; ++e) {
      if (kModified) scores[0][n][e] *= derivatives[n][e];
    }
  }
}

/// Gradients of scores, rounded: weights times (gradients of weights - delta).
template <int kScoreColumns, typename Element>
static __device__ __forceinline__ void make_score_gradients(const float (&weights)[1][kScoreColumns][4],
                                                            const float (&dweights)[1][kScoreColumns][4],
                                                            const float* delta,
                                                            std::uint32_t (&pairs)[kScoreColumns][2], Element) {
#pragma unroll
  for (int n = 0; n < kScoreColumns; ++n) {
    float of_query[2];
    load_elements<2>(delta + n * 8, of_query);
#pragma unroll
    for (int below = 0; below < 2; ++below) {
      const float(&w)[4] = weights[0][n];
      const float(&dw)[4] = dweights[0][n];
      pairs[n][below] = pack(w[below * 2] * (dw[below * 2] - of_query[0]),
                             w[below * 2 + 1] * (dw[below * 2 + 1] - of_query[1]), Element{});
    }
  }
}

/// Stores the warp's columns of 16 rows of a gradient, times `factor`, by way of its rows of a tile in shared memory.
template <int kHeadDim, typename Element>
static __device__ __forceinline__ void store_key_gradients(
    const WarpGradients<kHeadDim, Element>& warp, unsigned char* tile,
    const float (&gradients)[1][FlashBackwardTile<kHeadDim>::kOutColumns][4], float factor, void* to,
    std::int64_t first, std::int64_t row_stride, int rows, int head_dim) {
  using Tile = FlashBackwardTile<kHeadDim>;
  using Lay = Swizzle<kHeadDim>;
  constexpr int kChunks = Lay::kChunks / Tile::kSharers;  // of a segment, the warp's
  const int lane = warp.lane;
  unsigned char* const staging = tile + warp.keys * Tile::kBytesOfRow;
#pragma unroll
  for (int n = 0; n < Tile::kOutColumns; ++n) {
    const int column = Tile::kShared ? n / 4 * 8 + n % 4 : n;
#pragma unroll
    for (int below = 0; below < 2; ++below) {
      const float(&four)[4] = gradients[0][n];
      store_as(staging + (lane / 4 + below * 8) * Tile::kBytesOfRow +
                   Lay::chunk(column, Lay::of_row(lane / 4) ^ warp.half * 4) + lane % 4 * 4,
               pack(four[below * 2] * factor, four[below * 2 + 1] * factor, Element{}));
    }
  }
  sync_warp();
  const int chunk = lane % kChunks + warp.half * kChunks;
  auto* const out = static_cast<bfloat16*>(to) + first;
#pragma unroll
  for (int pass = 0; pass < 16 * kChunks / 32; ++pass) {
    const int row = pass * (32 / kChunks) + lane / kChunks;
#pragma unroll
    for (int segment = 0; segment < Lay::kSegments; ++segment) {
      const int column = segment * Lay::kChunks + chunk;
      if (warp.keys + row >= rows || column * 8 >= head_dim) continue;
      *reinterpret_cast<Chunk*>(out + (warp.keys + row) * row_stride + column * 8) =
          *reinterpret_cast<const Chunk*>(staging + row * Tile::kBytesOfRow + Lay::chunk(column, Lay::of_row(row)));
    }
  }
}

/// Gradients of the keys and values from key `first` on.
template <int kHeadDim, typename Element, bool kModified>
static __device__ __forceinline__ void flash_backward_keys(const FlashBackwardParams& p, int first) {
  using Tile = FlashBackwardTile<kHeadDim>;
  using Copy = TileCopy<kHeadDim, Tile::kThreads>;
  using Warp = WarpGradients<kHeadDim, Element>;
  constexpr float kLog2E = 1.4426950408889634f;
  const FlashForwardParams& f = p.forward;
  const FlashBackwardShared<kHeadDim> shared;
  const FlashBackwardPlace place;
  {
    const FlashRows rows(f, place.document);
    const Copy copy_k(f.k, rows.of_keys(f.k_strides, place.kv_head), f.k_strides.row, f.head_dim, place.thread);
    const Copy copy_v(f.v, rows.of_keys(f.v_strides, place.kv_head), f.v_strides.row, f.head_dim, place.thread);
    copy_k.template load<Tile::kBlockN, true>(shared.k, first, rows.keys);
    copy_v.template load<Tile::kBlockN, true>(shared.v, first, rows.keys);
    copy_async_commit();
  }
  constexpr int kKept = Tile::kShared ? Tile::kKeySteps : 1;
  std::uint32_t v[kKept][1][4];
  if (Tile::kShared) {
    wait_for_copies();
    const Warp warp(shared, place.thread);
#pragma unroll
    for (int step = 0; step < kKept; ++step) load_matrix_x4(v[step][0], warp.left_rows(shared.v).chunk(0, step * 2));
  }

  float dk[1][Tile::kOutColumns][4] = {}, dv[1][Tile::kOutColumns][4] = {};
  const float unit = kModified ? kLog2E : f.scale * kLog2E;  // of scores, for exp2
  float slope = 0.0f;
  int tile;

  const auto load_output_gradients = [&](auto checked, int thread) {
    const FlashBackwardKept<kHeadDim>& kept = *shared.kept;
    const Copy copy(p.dout, kept.dout, p.dout_strides.row, f.head_dim, thread);
    copy.template load<Tile::kBlockM, decltype(checked)::kValue>(shared.dout, tile * Tile::kBlockM, kept.seen.keys);
    if (thread < Tile::kBlockM / 2) {
      copy_async<16>(shared.numbers + thread * 4, kept.numbers + tile * 2 * Tile::kBlockM + thread * 4, true);
    }
    copy_async_commit();
  };

  const auto walk = [&](auto kind) {
    constexpr bool kMasked = decltype(kind)::kValue;
    const FlashBackwardKept<kHeadDim>& kept = *shared.kept;
    // Its own number, though the compiler cannot know that (forward.cuh).
    const int thread = shuffle_xor(place.thread, 0), lane = thread & 31;
    const Warp warp(shared, thread);
    float scores[1][Tile::kScoreColumns][4] = {}, derivatives[Tile::kScoreColumns][4];
    std::uint32_t pairs[Tile::kScoreColumns][2];
    warp.multiply_rows(shared.k, shared.q, scores);
    wait_for_copies();                                                      // the output's gradients
    const int column = warp.half * Tile::kScoreColumns * 8 + lane % 4 * 2;  // of the tile
    const int key = kept.first + warp.keys + lane / 4, query = tile * Tile::kBlockM + column;
    if (kModified) {
      modify_scores(scores, f.scale, f.softcap, -slope, key, query - kept.seen.offset,
                    [&](int, int n, int e, float derivative) { derivatives[n][e] = derivative; });
    }
    if (kMasked) mask_scores<true>(scores, kept.seen, key, query);
    make_weights<kModified>(scores, derivatives, shared.numbers + column, unit, pairs, Element{});
    float dweights[1][Tile::kScoreColumns][4] = {};
    if constexpr (Tile::kShared) {
      warp.put_scores(pairs, shared.weights);
      const auto with = warp.right_rows(shared.dout);
#pragma unroll
      for (int step = 0; step < kKept; ++step) add_products_with_rows<Element>(step, v[step], with, dweights);
    } else {
#pragma unroll
      for (int step = 0; step < Tile::kBlockM / 16; ++step) {
        const std::uint32_t left[1][4] = {
            {pairs[step * 2][0], pairs[step * 2][1], pairs[step * 2 + 1][0], pairs[step * 2 + 1][1]}};
        warp.add_columns(step, left, shared.dout, dv);
      }
      warp.multiply_rows(shared.v, shared.dout, dweights);
    }
    make_score_gradients(scores, dweights, shared.numbers + Tile::kBlockM + column, pairs, Element{});
    if (Tile::kOverlaid) sync_block();  // no warp reads the output's gradients any more
    warp.put_scores(pairs, shared.dscores);
    if constexpr (!Tile::kShared) {
#pragma unroll
      for (int step = 0; step < Tile::kBlockM / 16; ++step) {
        const std::uint32_t left[1][4] = {
            {pairs[step * 2][0], pairs[step * 2][1], pairs[step * 2 + 1][0], pairs[step * 2 + 1][1]}};
        warp.add_columns(step, left, shared.q, dk);
      }
    }
    sync_block();  // all scores' gradients are there
    if constexpr (Tile::kShared) {
      warp.add_columns(shared.weights, shared.dout, dv);
      warp.add_columns(shared.dscores, shared.q, dk);
      sync_block();
    }
    if (tile > kept.tiles.begin) {
      const Copy copy(f.q, kept.q, f.q_strides.row, f.head_dim, thread);
      copy.template load<Tile::kBlockM, false>(shared.q, (tile - 1) * Tile::kBlockM, kept.seen.keys);
    }
    copy_async_commit();
    warp.add_query_gradients(kept.sums + static_cast<std::int64_t>(tile) * Tile::kBlockM * kHeadDim);
    wait_for_copies();  // the next queries; and no warp reads the scores' gradients any more
    --tile;
    if (tile >= kept.tiles.begin) load_output_gradients(Masked<false>{}, thread);
  };

  const int group = f.heads / f.kv_heads;
  for (int head = place.kv_head * group; head < (place.kv_head + 1) * group; ++head) {
    sync_block();  // no warp reads what is kept of the head before
    if (place.thread == 0) {
      const FlashRows rows(f, place.document);
      *shared.kept = FlashBackwardKept<kHeadDim>(p, rows, head, place.document, place.slice, first);
    }
    sync_block();
    const FlashBackwardKept<kHeadDim>& kept = *shared.kept;
    tile = kept.tiles.end - 1;
    if (tile < kept.tiles.begin) continue;
    if (kModified) slope = f.alibi_slopes != nullptr ? f.alibi_slopes[head] : 0.0f;
    const Copy copy(f.q, kept.q, f.q_strides.row, f.head_dim, place.thread);
    copy.template load<Tile::kBlockM, true>(shared.q, tile * Tile::kBlockM, kept.seen.keys);
    copy_async_commit();
    wait_for_copies();
    load_output_gradients(Masked<true>{}, place.thread);
    while (tile >= kept.tiles.begin) {
      for (; tile >= kept.tiles.begin && !kept.tiles.whole(tile);) walk(Masked<true>{});
      for (; tile >= kept.tiles.begin && kept.tiles.whole(tile);) walk(Masked<false>{});
    }
  }
  wait_for_copies();
  const FlashBackwardPlace again;
  const FlashRows rows(f, again.document);
  const Warp warp(shared, again.thread);
  const std::int64_t dk_first = rows.of_keys(p.dk_strides, again.kv_head) + first * p.dk_strides.row;
  const std::int64_t dv_first = rows.of_keys(p.dv_strides, again.kv_head) + first * p.dv_strides.row;
  store_key_gradients(warp, shared.k, dk, f.scale, p.dk, dk_first, p.dk_strides.row, rows.keys - first, f.head_dim);
  store_key_gradients(warp, shared.v, dv, 1.0f, p.dv, dv_first, p.dv_strides.row, rows.keys - first, f.head_dim);
}

/// Grid: tiles of keys, or slices of them; heads of keys; documents. kModified: the scores have a softcap or ALiBi.
template <int kHeadDim, typename Element, bool kModified>
__global__ void __launch_bounds__(FlashBackwardTile<kHeadDim>::kThreads)
    flash_backward_kernel(const FlashBackwardParams p) {
  constexpr int kBlockN = FlashBackwardTile<kHeadDim>::kBlockN;
  const FlashBackwardPlace place;
  const int keys = FlashRows(p.forward, place.document).keys;
  for (int first = place.slice * kBlockN; first < keys; first += static_cast<int>(gridDim.x) * kBlockN) {
    flash_backward_keys<kHeadDim, Element, kModified>(p, first);
    sync_block();  // before the next keys take the place of what is stored
  }
}

}  // namespace powerhouse::cuda
