// The running softmax of softmax.cuh in the two parts that products of a warpgroup leave between them: scores become
// weights while the product with the weights before is on its way, and only after it is the output brought to the new
// largest score.
#pragma once

#include "kernels/cuda/flash_attention/softmax.cuh"

namespace powerhouse::cuda {

struct HopperSoftmax : RunningSoftmax<1> {
  float before[2];  // what the output so far is to be multiplied by

  /// Turns scores into weights exp2(unit (score - largest)).
  template <int kColumns>
  __device__ __forceinline__ void weigh(float (&scores)[kColumns][4], float unit) {
    float shifted[2];
#pragma unroll
    for (int row = 0; row < 2; ++row) {
      float top = largest[row];
#pragma unroll
      for (int n = 0; n < kColumns; ++n) top = maximum(top, maximum(scores[n][row * 2], scores[n][row * 2 + 1]));
      top = maximum(top, shuffle_xor(top, 1));
      top = maximum(top, shuffle_xor(top, 2));
      shifted[row] = shift(top, unit);
      before[row] = exp2_approximate(largest[row] * unit - shifted[row]);
      largest[row] = top;
    }
#pragma unroll
    for (int n = 0; n < kColumns; ++n) {
#pragma unroll
      for (int e = 0; e < 4; ++e) scores[n][e] = exp2_approximate(scores[n][e] * unit - shifted[e / 2]);
    }
#pragma unroll
    for (int row = 0; row < 2; ++row) {
      float added = 0.0f;
#pragma unroll
      for (int n = 0; n < kColumns; ++n) added += scores[n][row * 2] + scores[n][row * 2 + 1];
      sum[row] = sum[row] * before[row] + added;
    }
  }

  /// Always, unlike softmax.cuh: a branch on whether the largest rose costs more here than it saves.
  template <int kColumns>
  __device__ __forceinline__ void rescale(float (&out)[kColumns][4]) const {
#pragma unroll
    for (int n = 0; n < kColumns; ++n) {
#pragma unroll
      for (int e = 0; e < 4; ++e) out[n][e] *= before[e / 2];
    }
  }
};

}  // namespace powerhouse::cuda
