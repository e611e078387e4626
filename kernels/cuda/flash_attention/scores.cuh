// What becomes of the products q k before the softmax: scale, softcap and ALiBi, then the mask.
#pragma once

#include "kernels/cuda/flash_attention/mask.cuh"

namespace powerhouse::cuda {

/// tanh to about 1e-7, which a softcap of 50 needs: the hardware's own is wrong by 5e-4.
static __device__ __forceinline__ float tanh_of(float x) {
  constexpr float kTwoLog2E = 2.8853900817779268f;
  return 1.0f - 2.0f * reciprocal_approximate(1.0f + exp2_approximate(x * kTwoLog2E));
}

/// What softcap and ALiBi make of a product q k. The part that softcap decides on is made in place for all scores, by
/// cap(); score() and derivative() follow from it without a branch, so that nothing else is kept of it.
struct ScoreChange {
  float unit;       // what products are multiplied by before they are capped
  float factor;     // of a capped product: the score is that many times it
  float curvature;  // the score's derivative by the product times scale is 1 - that times the capped product's square

  __host__ __device__ __forceinline__ ScoreChange(float scale, float softcap)
      : unit(softcap > 0.0f ? scale / softcap : scale),
        factor(softcap > 0.0f ? softcap : 1.0f),
        curvature(softcap > 0.0f ? 1.0f : 0.0f) {}

  template <int kRowBlocks, int kScoreColumns>
  __device__ __forceinline__ void cap(float (&products)[kRowBlocks][kScoreColumns][4]) const {
#pragma unroll
    for (int block = 0; block < kRowBlocks; ++block) {
#pragma unroll
      for (int n = 0; n < kScoreColumns; ++n) {
#pragma unroll
        for (int e = 0; e < 4; ++e) {
          float& product = products[block][n][e];
          product *= unit;
          if (curvature > 0.0f) product = tanh_of(product);
        }
      }
    }
  }
  /// In natural units; `distance`: from the query's place to the key.
  __device__ __forceinline__ float score(float capped, float slope, int distance) const {
    return factor * capped + slope * static_cast<float>(distance);
  }
  __device__ __forceinline__ float derivative(float capped) const { return 1.0f - curvature * capped * capped; }
};

/// Leaves scores in natural units. `row` and `column` are the first that the lane holds elements of, the row counted by
/// the key where it stands.
template <int kRowBlocks, int kScoreColumns>
static __device__ __forceinline__ void modify_scores(float (&scores)[kRowBlocks][kScoreColumns][4],
                                                     const ScoreChange& change, float slope, int row, int column) {
  change.cap(scores);
#pragma unroll
  for (int block = 0; block < kRowBlocks; ++block) {
#pragma unroll
    for (int n = 0; n < kScoreColumns; ++n) {
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        const int distance = column + n * 8 + e % 2 - (row + block * 16 + e / 2 * 8);
        scores[block][n][e] = change.score(scores[block][n][e], slope, distance);
      }
    }
  }
}

/// Scores of keys that a row does not see become minus infinity.
template <int kRowBlocks, int kScoreColumns>
static __device__ __forceinline__ void mask_scores(float (&scores)[kRowBlocks][kScoreColumns][4], const SeenKeys& seen,
                                                   int row, int column) {
#pragma unroll
  for (int block = 0; block < kRowBlocks; ++block) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int begin = seen.begin(row + block * 16 + half * 8) - column;
      const int end = seen.end(row + block * 16 + half * 8) - column;
#pragma unroll
      for (int n = 0; n < kScoreColumns; ++n) {
#pragma unroll
        for (int e = 0; e < 2; ++e) {
          if (n * 8 + e < begin || n * 8 + e >= end) scores[block][n][half * 2 + e] = kMinusInfinity;
        }
      }
    }
  }
}

}  // namespace powerhouse::cuda
