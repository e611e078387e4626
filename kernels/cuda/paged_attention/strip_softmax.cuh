// The running softmax of a strip (Milakov and Gimelshein 2018) over the tiles of a part, and how strips of a part, and
// parts of a row, are put together. Where nothing larger came all is multiplied by one, not by what exp2 makes of a
// rounded zero: a row's bits must not depend on the others of its warp.
#pragma once

#include "kernels/cuda/flash_attention/mask.cuh"

namespace powerhouse::cuda {

static constexpr float kLog2OfE = 1.4426950408889634f;

/// exp(largest - of_all); zero where nothing was seen.
static __device__ __forceinline__ float weight_of(float largest, float of_all) {
  return largest == kMinusInfinity ? 0.0f : largest == of_all ? 1.0f : exp2_approximate((largest - of_all) * kLog2OfE);
}

/// Of scores that were seen: the largest, and the sum of exp(score - largest).
struct alignas(8) Stat {
  float largest, sum;
};

/// Rows g and g + 8 of a strip, the sums of this lane's columns alone.
struct StripSoftmax {
  float largest[2] = {kMinusInfinity, kMinusInfinity};
  float sum[2] = {};

  /// Scores become weights; what was summed before is brought to the new largest.
  template <int kScoreColumns, int kOutColumns>
  __device__ __forceinline__ void add(float (&scores)[kScoreColumns][4], float (&out)[kOutColumns][4]) {
    float before[2];
    bool raised = false;
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      float top = kMinusInfinity;
#pragma unroll
      for (int n = 0; n < kScoreColumns; ++n) top = maximum(top, maximum(scores[n][half * 2], scores[n][half * 2 + 1]));
      top = maximum(top, shuffle_xor(top, 1));
      top = maximum(top, shuffle_xor(top, 2));
      before[half] = 1.0f;
      if (top > largest[half]) {
        before[half] = weight_of(largest[half], top);
        largest[half] = top;
        raised = true;
      }
      float added = 0.0f;
      const float base = largest[half] == kMinusInfinity ? 0.0f : largest[half];
#pragma unroll
      for (int n = 0; n < kScoreColumns; ++n) {
#pragma unroll
        for (int e = half * 2; e < half * 2 + 2; ++e) {
          scores[n][e] = exp2_approximate((scores[n][e] - base) * kLog2OfE);
          added += scores[n][e];
        }
      }
      sum[half] = sum[half] * before[half] + added;
    }
    if (!any_lane(raised)) return;
#pragma unroll
    for (int n = 0; n < kOutColumns; ++n) {
#pragma unroll
      for (int e = 0; e < 4; ++e) out[n][e] *= before[e / 2];
    }
  }

  /// Of the whole row, the same in its four lanes.
  __device__ __forceinline__ Stat stat(int half) const {
    float total = sum[half] + shuffle_xor(sum[half], 1);
    total += shuffle_xor(total, 2);
    return {largest[half], total};
  }
};

}  // namespace powerhouse::cuda
