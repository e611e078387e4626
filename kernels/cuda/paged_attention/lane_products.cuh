// The same products with float32 queries, by lanes, over cells of any type: nothing is rounded. Lanes hold the same
// fragments of scores; of output eight elements side by side each.
#pragma once

#include "kernels/cuda/flash_attention/swizzle.cuh"
#include "kernels/cuda/paged_attention/cells.cuh"
#include "kernels/cuda/paged_attention/tile.h"

namespace powerhouse::cuda {

template <int kHeadDim, int kColumns>
struct LaneProducts {
  using Tile = PagedTile<float, kHeadDim, AnyCells, kColumns>;
  using Scores = float[kColumns][4];
  using Out = float[Tile::kOutTiles][kColumns][4];
  static constexpr float kOutUnit = 1.0f;
  static constexpr bool kPairs = true;

  int lane;
  const unsigned char* queries;  // rows of kQueryPitch floats
  BlockFormat type;
  int head_dim;

  static __device__ __forceinline__ int out_slot(int tile, int g, int half) {
    return tile / 4 * 64 + g * 8 + tile % 4 * 2 + half;
  }
  static __device__ __forceinline__ int slot_of(int d) { return d; }

  __device__ __forceinline__ void read(const unsigned char* row, int at, Eight& x) const {
    if (type == BlockFormat::f32) return load_elements(reinterpret_cast<const float*>(row) + at, x);
    read_cells<true>(type, row, at, x);
  }

  __device__ __forceinline__ void score(const unsigned char* keys, Scores& scores) const {
    const unsigned char* const row = keys + lane / 4 * Tile::kPitch;
    const float* const q_row = reinterpret_cast<const float*>(queries) + lane % 4 * 2 * Tile::kQueryPitch;
#pragma unroll 1
    for (int at = 0; at < head_dim; at += 8) {
      Eight k[2];
      read(row, at, k[0]);
      read(row + 8 * Tile::kPitch, at, k[1]);
#pragma unroll
      for (int n = 0; n < kColumns; ++n) {
#pragma unroll
        for (int e = 0; e < 2; ++e) {
          Eight q;
          load_elements(q_row + (n * 8 + e) * Tile::kQueryPitch + at, q);
#pragma unroll
          for (int i = 0; i < 8; ++i) {
            scores[n][e] += q[i] * k[0][i];
            scores[n][e + 2] += q[i] * k[1][i];
          }
        }
      }
    }
  }

  __device__ __forceinline__ void weigh(const unsigned char* values, const Scores& weights, Out& out) const {
#pragma unroll 1
    for (int key = 0; key < 16; ++key) {
      float weight[kColumns][2];
#pragma unroll
      for (int n = 0; n < kColumns; ++n) {
#pragma unroll
        for (int e = 0; e < 2; ++e) {
          weight[n][e] = shuffle(key < 8 ? weights[n][e] : weights[n][e + 2], key % 8 * 4 + lane % 4);
        }
      }
#pragma unroll
      for (int eight = 0; eight < kHeadDim / 64; ++eight) {
        const int at = eight * 64 + lane / 4 * 8;
        Eight v = {};
        if (at < head_dim) read(values + key * Tile::kPitch, at, v);
#pragma unroll
        for (int i = 0; i < 8; ++i) {
#pragma unroll
          for (int n = 0; n < kColumns; ++n) {
#pragma unroll
            for (int e = 0; e < 2; ++e) out[eight * 4 + i / 2][n][i % 2 * 2 + e] += weight[n][e] * v[i];
          }
        }
      }
    }
  }
};

}  // namespace powerhouse::cuda
