// The running softmax of a strip (Milakov and Gimelshein 2018) over the tiles of a part, and how strips of a part, and
// parts of a row, are put together. Where nothing larger came all is multiplied by one, not by what exp2 makes of a
// rounded zero: a row's bits must not depend on the others of its warp.
#pragma once

#include "kernels/cuda/flash_attention/mask.cuh"

namespace powerhouse::cuda {

static constexpr float kLog2OfE = 1.4426950408889634f;

/// exp(largest - of_all); zero where nothing was seen.
static __device__ __forceinline__ float weight_of(float largest, float of_all) {
  const float weight = exp2_approximate((largest - of_all) * kLog2OfE);  // selected from, so that nothing branches
  return largest == kMinusInfinity ? 0.0f : largest == of_all ? 1.0f : weight;
}

/// Of scores that were seen: the largest, and the sum of exp(score - largest).
struct alignas(8) Stat {
  float largest, sum;
};

/// Fragments of scores have keys as rows: lane 4 g + t holds keys g and g + 8 of vectors 2 t and 2 t + 1 of each
/// column. Largest scores are those of the strip, sums those of this lane's keys alone.
template <int kColumns>
struct StripSoftmax {
  float largest[kColumns][2];
  float sum[kColumns][2];

  __device__ __forceinline__ StripSoftmax() {
#pragma unroll
    for (int n = 0; n < kColumns; ++n) {
#pragma unroll
      for (int e = 0; e < 2; ++e) {
        largest[n][e] = kMinusInfinity;
        sum[n][e] = 0.0f;
      }
    }
  }

  /// Scores become weights; what was summed before is brought to the new largest.
  template <int kOutTiles>
  __device__ __forceinline__ void add(float (&scores)[kColumns][4], float (&out)[kOutTiles][kColumns][4]) {
    float before[kColumns][2];
    bool raised = false;
#pragma unroll
    for (int n = 0; n < kColumns; ++n) {
#pragma unroll
      for (int e = 0; e < 2; ++e) {
        float top = maximum(scores[n][e], scores[n][e + 2]);
        top = maximum(top, shuffle_xor(top, 4));
        top = maximum(top, shuffle_xor(top, 8));
        top = maximum(top, shuffle_xor(top, 16));
        const bool higher = top > largest[n][e];
        const float weight = exp2_approximate((largest[n][e] - top) * kLog2OfE);  // zero where nothing was before
        before[n][e] = higher ? weight : 1.0f;
        largest[n][e] = higher ? top : largest[n][e];
        raised = raised || higher;
        const float base = largest[n][e] == kMinusInfinity ? 0.0f : largest[n][e];
        scores[n][e] = exp2_approximate((scores[n][e] - base) * kLog2OfE);
        scores[n][e + 2] = exp2_approximate((scores[n][e + 2] - base) * kLog2OfE);
        sum[n][e] = sum[n][e] * before[n][e] + (scores[n][e] + scores[n][e + 2]);
      }
    }
    if (!any_lane(raised)) return;
#pragma unroll
    for (int m = 0; m < kOutTiles; ++m) {
#pragma unroll
      for (int n = 0; n < kColumns; ++n) {
#pragma unroll
        for (int i = 0; i < 4; ++i) out[m][n][i] *= before[n][i % 2];
      }
    }
  }

  /// Of the whole strip, the same in a vector's eight lanes.
  __device__ __forceinline__ Stat stat(int column, int e) const {
    float total = sum[column][e] + shuffle_xor(sum[column][e], 4);
    total += shuffle_xor(total, 8);
    total += shuffle_xor(total, 16);
    return {largest[column][e], total};
  }
};

}  // namespace powerhouse::cuda
