// What a warpgroup of flash attention's backward kernel for Hopper does with the block's tiles. Products are put into
// the queue of the tensor cores; whoever reads their sums waits for them.
#pragma once

#include "kernels/cuda/flash_attention/hopper_backward_shared.cuh"
#include "kernels/cuda/flash_attention/products.cuh"
#include "kernels/cuda/flash_attention/segments.cuh"
#include "kernels/cuda/primitives_hopper.cuh"

namespace powerhouse::cuda {

/// Which warpgroup's keys the running thread works on, and the columns of their gradients.
template <typename Tile>
static __device__ __forceinline__ int group_of_keys() {
  return Tile::kSharers > 1 ? 0 : read_warpgroup();
}
template <typename Tile>
static __device__ __forceinline__ int first_segment() {
  return Tile::kSharers > 1 ? read_warpgroup() * (Tile::kSegments / Tile::kSharers) : 0;
}
/// The first of the 16 keys that the warp holds rows of.
template <typename Tile>
static __device__ __forceinline__ int first_key() {
  return read_place().thread % (Tile::kThreads / Tile::kSharers) / 32 * 16;
}

/// A square of a tile's dq: the warpgroup's `index`-th.
template <typename Tile>
struct QuerySquare {
  int part, segment;  // of 64 queries, of 64 columns

  __device__ __forceinline__ explicit QuerySquare(int index) {
    const int square = read_warpgroup() * Tile::kSquares + index;
    part = square / Tile::kSegments;
    segment = square % Tile::kSegments;
  }
};

/// Where sums of dq lie: in a tile of the workspace, for each chunk of 8 columns, four floats of each of kLanes lanes.
template <typename Tile>
struct QuerySums {
  static constexpr int kLanes = Tile::kRows * 2, kChunk = kLanes * 4;
  static constexpr int kTile = Tile::kRows * Tile::kHeadDim;
};

/// Sums of a warpgroup's products, as a warp holds them: rows 16 w to 16 w + 15 of 64.
template <typename Tile, typename Element>
struct GroupGradients {
  using Scores = float[1][Tile::kScoreColumns][4];  // of 64 keys by all queries of a tile
  using Pairs = std::uint32_t[Tile::kScoreColumns][2];
  using Gradients = float[1][Tile::kOutColumns][4];  // of 64 keys
  using QueryGradients = float[8][4];                // a square of a tile's dq
  static constexpr int kRowStep = 16 * 128;          // from 16 rows of a segment to the next, in bytes

  /// scores = keys tile^T.
  static __device__ __forceinline__ void multiply_rows(const unsigned char* keys, const unsigned char* tile,
                                                       Scores& scores) {
    const std::uint64_t left = operand(keys + group_of_keys<Tile>() * 64 * 128, 0), right = operand(tile, 0);
#pragma unroll
    for (int step = 0; step < Tile::kKeySteps; ++step) {
      const int segment = step / 4, column = step % 4 * 32;
      multiply_warpgroup(scores[0], advance(left, segment * Tile::kBlockN * 128 + column),
                         advance(right, segment * Tile::kBlockM * 128 + column), step > 0, Element{});
    }
    warpgroup_commit();
  }

  /// gradients += scores tile, of rounded pairs of scores.
  static __device__ __forceinline__ void add_columns(const Pairs& pairs, const unsigned char* tile,
                                                     Gradients& gradients) {
    const std::uint64_t right = operand(tile + first_segment<Tile>() * Tile::kBlockM * 128, Tile::kBlockM * 128);
#pragma unroll
    for (int step = 0; step < Tile::kBlockM / 16; ++step) {
      // Two fragments of scores are the one of a step, as they lie in registers.
      const auto& left = reinterpret_cast<const std::uint32_t(&)[4]>(pairs[step * 2]);
      multiply_warpgroup(gradients[0], left, advance(right, step * kRowStep), true, Element{});
    }
    warpgroup_commit();
  }

  /// Rounded pairs of scores into [kBlockN, kBlockM]. Sharers have the same: one of them puts.
  static __device__ __forceinline__ void put_scores(const Pairs& pairs, unsigned char* to) {
    if (Tile::kSharers > 1 && read_warpgroup() > 0) return;
    const int thread = read_place().thread;
    const auto rows = LaneRow<64>::below(to + thread / 32 * kRowStep, thread % 32);
#pragma unroll
    for (int n = 0; n < Tile::kScoreColumns; n += 2) {
      const std::uint32_t matrices[4] = {pairs[n][0], pairs[n][1], pairs[n + 1][0], pairs[n + 1][1]};
      store_matrix_x4(matrices, const_cast<unsigned char*>(rows.chunk(0, n % 8)) + n / 8 * Tile::kBlockN * 128);
    }
  }

  /// The group's `index`-th square of dq = scores^T keys.
  static __device__ __forceinline__ void multiply_columns(const unsigned char* scores, const unsigned char* keys,
                                                          int index, QueryGradients& dq) {
    const QuerySquare<Tile> square(index);
    const std::uint64_t left = operand(scores + square.part * Tile::kBlockN * 128, 0);
    const std::uint64_t right = operand(keys + square.segment * Tile::kBlockN * 128, 0);
#pragma unroll
    for (int step = 0; step < Tile::kBlockN / 16; ++step) {
      multiply_warpgroup_turned(dq, advance(left, step * kRowStep), advance(right, step * kRowStep), step > 0,
                                Element{});
    }
    warpgroup_commit();
  }

  /// Adds that square to the sums of a head, of tile `tile`, unless it is of rows from `rows` on.
  static __device__ __forceinline__ void add_square(const QueryGradients& dq, int index, float* sums, int tile,
                                                    int rows) {
    using Lay = QuerySums<Tile>;
    const QuerySquare<Tile> square(index);
    const int thread = read_place().thread;
    const int at = (tile * (Tile::kBlockM / 64) + square.part) * (64 / Tile::kRows) + thread % 128 / Lay::kLanes;
    if (at * Tile::kRows >= rows) return;
    float* const own =
        sums + static_cast<std::int64_t>(at) * Lay::kTile + square.segment * 8 * Lay::kChunk + thread % Lay::kLanes * 4;
#pragma unroll
    for (int n = 0; n < 8; ++n) add_four_to_global(own + n * Lay::kChunk, dq[n]);
  }
};

}  // namespace powerhouse::cuda
