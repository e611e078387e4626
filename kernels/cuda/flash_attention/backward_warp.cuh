// What a warp of flash attention's backward kernel does with the block's tiles.
#pragma once

#include "kernels/cuda/elements.cuh"
#include "kernels/cuda/flash_attention/backward_shared.cuh"
#include "kernels/cuda/flash_attention/copy.cuh"
#include "kernels/cuda/flash_attention/products.cuh"
#include "kernels/cuda/flash_attention/scores.cuh"

namespace powerhouse::cuda {

/// A warp's part of the work on a block's tiles.
template <typename Tile, typename Element>
struct WarpGradients {
  using ScoreRow = Swizzle<Tile::kBlockM>;
  using Gradients = float[1][Tile::kOutColumns][4];
  using Fragment = std::uint32_t[1][4];

  const FlashBackwardShared<Tile>& shared;
  int thread, warp, lane, keys, half;  // keys: the first of the warp's in the tile; half: of what sharers share

  __device__ __forceinline__ explicit WarpGradients(const FlashBackwardShared<Tile>& shared_)
      : shared(shared_), thread(read_place().thread), warp(thread >> 5), lane(thread & 31) {
    keys = (Tile::kShared ? warp % (Tile::kWarps / 2) : warp) * 16;
    half = Tile::kShared ? warp / (Tile::kWarps / 2) : 0;
  }
  /// The first query of the tile that the lane holds scores of.
  __device__ __forceinline__ int column() const { return half * Tile::kScoreColumns * 8 + lane % 4 * 2; }

  /// The row of keys or values that the lane gives.
  __device__ __forceinline__ LaneRow<Tile::kHeadDim> left_rows(const unsigned char* tile) const {
    return LaneRow<Tile::kHeadDim>::below(tile + keys * Tile::kBytesOfRow, lane);
  }
  /// Of queries, or gradients of the output, whose scores the warp makes.
  __device__ __forceinline__ LaneRow<Tile::kHeadDim> right_rows(const unsigned char* tile) const {
    return LaneRow<Tile::kHeadDim>::beside(tile + half * Tile::kScoreColumns * 8 * Tile::kBytesOfRow, lane);
  }

  /// The lane's values of a step that are not in registers.
  __device__ __forceinline__ unsigned char* shared_values(int step) const {
    constexpr int kSteps = Tile::kKeySteps - Tile::kValueSteps;
    return shared.values + ((keys / 16 * kSteps + step - Tile::kValueSteps) * 32 + lane) * 16;
  }

  /// scores += keys tile^T, of the part of the queries that they hold.
  template <int kColumns>
  __device__ __forceinline__ void multiply_rows(const unsigned char* left, const unsigned char* right, int part,
                                                float (&scores)[1][kColumns][4]) const {
    const LaneRow<Tile::kHeadDim> from = left_rows(left),
                                  with = right_rows(right + part * kColumns * 8 * Tile::kBytesOfRow);
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
    LaneRow<Tile::kHeadDim> with = LaneRow<Tile::kHeadDim>::below(tile, lane);
    with.bits ^= half * 4;
    add_products_with_columns<Element>(step, left, with, gradients,
                                       [](int n) { return Tile::kShared ? n / 4 * 8 + n % 4 : n; });
  }
  /// The same from step `first` on, of scores in registers.
  template <int kColumns>
  __device__ __forceinline__ void add_columns(int first, const std::uint32_t (&pairs)[kColumns][2],
                                              const unsigned char* tile, Gradients& gradients) const {
#pragma unroll
    for (int step = 0; step < kColumns / 2; ++step) {
      const Fragment left = {{pairs[step * 2][0], pairs[step * 2][1], pairs[step * 2 + 1][0], pairs[step * 2 + 1][1]}};
      add_columns(first + step, left, tile, gradients);
    }
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
    const QueryPart<Tile::kHeadDim> part(warp);
    auto from = LaneRow<Tile::kBlockM>::beside(shared.dscores, lane);
    from.bits ^= part.row / 8;
    const auto with = LaneRow<Tile::kHeadDim>::below(shared.k, lane);
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

/// Products q k become weights exp2(unit score - lse): rounded in `pairs`, but zero where a bit of `kept` (dropout.cuh)
/// is not set, and in their place times what the softcap does to gradients. `key` and `query` are the first that the
/// lane holds elements of, `lse` that of the query.
template <bool kModified, bool kMasked, int kScoreColumns, typename Element>
static __device__ __forceinline__ void make_weights(float (&scores)[1][kScoreColumns][4], const SeenKeys& seen, int key,
                                                    int query, const ScoreChange& change, float slope, const float* lse,
                                                    float unit, unsigned kept, std::uint32_t (&pairs)[kScoreColumns][2],
                                                    Element) {
  if (kModified) change.cap(scores);
  int begin[2], end[2];  // of the fragments' columns that keys of a row are seen in
#pragma unroll
  for (int below = 0; below < 2; ++below) {
    const int of_key = key + below * 8;
    begin[below] = seen.begin(of_key) - query;
    end[below] = of_key < seen.queries ? seen.end(of_key) - query : 0;  // keys beyond the last are zero, not absent
  }
#pragma unroll
  for (int n = 0; n < kScoreColumns; ++n) {
    float of_query[2], weights[4];
    load_elements<2>(lse + n * 8, of_query);
#pragma unroll
    for (int e = 0; e < 4; ++e) {
      float& score = scores[0][n][e];
      const float capped = score;
      const int column = n * 8 + e % 2;
      if (kModified) score = change.score(capped, slope, key + e / 2 * 8 - (query + column - seen.offset));
      score = exp2_approximate(score * unit - of_query[e % 2]);
      if (kMasked && (column < begin[e / 2] || column >= end[e / 2])) score = 0.0f;
      weights[e] = kModified && (kept >> (n * 4 + e) & 1) == 0 ? 0.0f : score;
      if (kModified) score *= change.derivative(capped);
    }
    pairs[n][0] = pack(weights[0], weights[1], Element{});
    pairs[n][1] = pack(weights[2], weights[3], Element{});
  }
}

/// Gradients of scores, rounded: weights times (gradients of weights - delta). Those of kept weights are `factor` times
/// as large.
template <bool kModified, int kScoreColumns, typename Element>
static __device__ __forceinline__ void make_score_gradients(const float (&weights)[1][kScoreColumns][4],
                                                            const float (&dweights)[1][kScoreColumns][4],
                                                            const float* delta, unsigned kept, float factor,
                                                            std::uint32_t (&pairs)[kScoreColumns][2], Element) {
#pragma unroll
  for (int n = 0; n < kScoreColumns; ++n) {
    float of_query[2];
    load_elements<2>(delta + n * 8, of_query);
    float gradients[4];
#pragma unroll
    for (int e = 0; e < 4; ++e) {
      float of_weight = dweights[0][n][e];
      if (kModified) of_weight = (kept >> (n * 4 + e) & 1) != 0 ? of_weight * factor : 0.0f;
      gradients[e] = weights[0][n][e] * (of_weight - of_query[e % 2]);
    }
    pairs[n][0] = pack(gradients[0], gradients[1], Element{});
    pairs[n][1] = pack(gradients[2], gradients[3], Element{});
  }
}

/// Stores the warp's columns of 16 rows of a gradient, times `factor`, by way of its rows of a tile in shared memory.
template <typename Tile, typename Element>
static __device__ __forceinline__ void store_key_gradients(const WarpGradients<Tile, Element>& warp,
                                                           unsigned char* tile,
                                                           const float (&gradients)[1][Tile::kOutColumns][4],
                                                           float factor, void* to, std::int64_t first,
                                                           std::int64_t row_stride, int rows, int head_dim) {
  using Lay = Swizzle<Tile::kHeadDim>;
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
    // Of halves of a segment, rows 4 apart lie in different banks.
    const int row = Tile::kShared ? pass * 8 + lane / 8 + lane / 4 % 2 * 4 : pass * (32 / kChunks) + lane / kChunks;
#pragma unroll
    for (int segment = 0; segment < Lay::kSegments; ++segment) {
      const int column = segment * Lay::kChunks + chunk;
      if (warp.keys + row >= rows || column * 8 >= head_dim) continue;
      *reinterpret_cast<Chunk*>(out + (warp.keys + row) * row_stride + column * 8) =
          *reinterpret_cast<const Chunk*>(staging + row * Tile::kBytesOfRow + Lay::chunk(column, Lay::of_row(row)));
    }
  }
}

}  // namespace powerhouse::cuda
