// A warp's products of 16 query vectors with a strip of 16 keys and values in shared memory, by tensor cores; of
// float32 by lanes, in the same fragments: lane 4 g + t holds columns 2 t and 2 t + 1 of rows g and g + 8.
#pragma once

#include "kernels/cuda/paged_attention/tile_copy.cuh"

namespace powerhouse::cuda {

template <typename T, int kHeadDim>
struct StripProducts {
  using Tile = PagedTile<T, kHeadDim>;
  using Lay = PagedSwizzle<T, kHeadDim>;
  using Scores = float[Tile::kScoreColumns][4];
  using Out = float[Tile::kOutColumns][4];

  int lane;
  const unsigned char* queries;  // the warp's 16 rows

  /// scores = q k^T
  __device__ __forceinline__ void score(const unsigned char* keys, Scores& scores) const {
    const int row = Lay::of_row(lane % 8);
    const unsigned char* const q_row = queries + lane % 16 * Tile::kBytesOfRow;
    const unsigned char* const k_row = keys + (lane % 8 + lane / 16 * 8) * Tile::kBytesOfRow;
#pragma unroll
    for (int step = 0; step < kHeadDim / 16; ++step) {
      std::uint32_t q[4], k[4];
      load_matrix_x4(q, q_row + Lay::chunk(step * 2, lane / 16 ^ row));
      load_matrix_x4(k, k_row + Lay::chunk(step * 2, lane / 8 % 2 ^ row));
      multiply_16816(scores[0], q, k[0], k[1], T{});
      multiply_16816(scores[1], q, k[2], k[3], T{});
    }
  }

  /// out += weights v
  __device__ __forceinline__ void weigh(const unsigned char* values, const Scores& weights, Out& out) const {
    const int row = Lay::of_row(lane % 8);
    const unsigned char* const v_row = values + lane % 16 * Tile::kBytesOfRow;
    std::uint32_t w[4];
#pragma unroll
    for (int part = 0; part < 4; ++part) {
      const float(&pair)[4] = weights[part / 2];
      w[part] = pack(pair[part % 2 * 2], pair[part % 2 * 2 + 1], T{});
    }
#pragma unroll
    for (int n = 0; n < Tile::kOutColumns / 2; ++n) {
      std::uint32_t v[4];
      load_matrix_x4_transposed(v, v_row + Lay::chunk(n * 2, lane / 16 ^ row));
      multiply_16816(out[2 * n], w, v[0], v[1], T{});
      multiply_16816(out[2 * n + 1], w, v[2], v[3], T{});
    }
  }
};

template <int kHeadDim>
struct StripProducts<float, kHeadDim> {
  using Tile = PagedTile<float, kHeadDim>;
  using Lay = PagedSwizzle<float, kHeadDim>;
  using Scores = float[Tile::kScoreColumns][4];
  using Out = float[Tile::kOutColumns][4];

  int lane;
  const unsigned char* queries;

  static __device__ __forceinline__ void load_four(const unsigned char* rows, int row, int four, float (&x)[4]) {
    load_elements(reinterpret_cast<const float*>(rows + row * Tile::kBytesOfRow + Lay::chunk(four, Lay::of_row(row))),
                  x);
  }

  __device__ __forceinline__ void score(const unsigned char* keys, Scores& scores) const {
#pragma unroll 1
    for (int four = 0; four < kHeadDim / 4; ++four) {
      float q[2][4];
      load_four(queries, lane / 4, four, q[0]);
      load_four(queries, lane / 4 + 8, four, q[1]);
#pragma unroll
      for (int column = 0; column < 4; ++column) {
        float k[4];
        load_four(keys, column / 2 * 8 + lane % 4 * 2 + column % 2, four, k);
#pragma unroll
        for (int half = 0; half < 2; ++half) {
          float& sum = scores[column / 2][half * 2 + column % 2];
#pragma unroll
          for (int i = 0; i < 4; ++i) sum += q[half][i] * k[i];
        }
      }
    }
  }

  /// Weight of the lane's column of four, for row g or g + 8.
  static __device__ __forceinline__ float weight_at(const Scores& weights, int column, int half) {
    const float even = column < 2 ? weights[0][half * 2] : weights[1][half * 2];
    const float odd = column < 2 ? weights[0][half * 2 + 1] : weights[1][half * 2 + 1];
    return column % 2 == 0 ? even : odd;
  }

  __device__ __forceinline__ void weigh(const unsigned char* values, const Scores& weights, Out& out) const {
#pragma unroll 1
    for (int i = 0; i < 16; ++i) {  // keys in the order in which a row's four lanes hold their weights
      const int column = i % 4, holder = i / 4, from = lane / 4 * 4 + holder;
      const int key = column / 2 * 8 + holder * 2 + column % 2;
      const float upper = shuffle(weight_at(weights, column, 0), from);
      const float lower = shuffle(weight_at(weights, column, 1), from);
      const unsigned char* const row = values + key * Tile::kBytesOfRow;
#pragma unroll
      for (int n = 0; n < Tile::kOutColumns; ++n) {
        float v[2];
        load_elements(
            reinterpret_cast<const float*>(row + Lay::chunk(n * 2 + lane % 4 / 2, Lay::of_row(key)) + lane % 2 * 8), v);
        out[n][0] += upper * v[0];
        out[n][1] += upper * v[1];
        out[n][2] += lower * v[0];
        out[n][3] += lower * v[1];
      }
    }
  }
};

}  // namespace powerhouse::cuda
