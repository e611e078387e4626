// What becomes of the products q k before the softmax: scale, softcap and ALiBi, then the mask.
#pragma once

#include "kernels/cuda/flash_attention/mask.cuh"

namespace powerhouse::cuda {

/// tanh to about 1e-7, which a softcap of 50 needs: the hardware's own is wrong by 5e-4.
static __device__ __forceinline__ float tanh_of(float x) {
  constexpr float kTwoLog2E = 2.8853900817779268f;
  return 1.0f - 2.0f * reciprocal_approximate(1.0f + exp2_approximate(x * kTwoLog2E));
}

/// Leaves scores in natural units, and hands keep(block, n, e, derivative) what softcap does to gradients. `row` and
/// `column` are the first that the lane holds elements of, counted so that their difference is the distance.
template <int kRowBlocks, int kScoreColumns, typename Keep>
static __device__ __forceinline__ void modify_scores(float (&scores)[kRowBlocks][kScoreColumns][4], float scale,
                                                     float softcap, float slope, int row, int column,
                                                     const Keep& keep) {
  const float inverse = softcap > 0.0f ? scale / softcap : 0.0f;
#pragma unroll
  for (int block = 0; block < kRowBlocks; ++block) {
#pragma unroll
    for (int n = 0; n < kScoreColumns; ++n) {
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        float& score = scores[block][n][e];
        float derivative = 1.0f;
        if (softcap > 0.0f) {
          const float capped = tanh_of(score * inverse);
          score = softcap * capped;
          derivative = 1.0f - capped * capped;
        } else {
          score *= scale;
        }
        const int distance = column + n * 8 + e % 2 - (row + block * 16 + e / 2 * 8);
        score += slope * static_cast<float>(distance);
        keep(block, n, e, derivative);
      }
    }
  }
}

/// Scores of keys that a row does not see become minus infinity; kRowsEnd: all of rows beyond the last, too.
template <bool kRowsEnd, int kRowBlocks, int kScoreColumns>
static __device__ __forceinline__ void mask_scores(float (&scores)[kRowBlocks][kScoreColumns][4], const SeenKeys& seen,
                                                   int row, int column) {
#pragma unroll
  for (int block = 0; block < kRowBlocks; ++block) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int at = row + block * 16 + half * 8;
      const int begin = seen.begin(at) - column;
      const int end = kRowsEnd && at >= seen.queries ? 0 : seen.end(at) - column;
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
