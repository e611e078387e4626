// The running softmax of a row over tiles of keys (Milakov and Gimelshein 2018), of fragments of scores.
//
// Lane 4 g + t of a warp holds columns 8 n + 2 t and + 1 of rows g (elements 0 and 1 of a fragment) and g + 8 (2 and
// 3). A lane keeps its own part of the sum; the four lanes of a row add up once, at the end.
#pragma once

#include "kernels/cuda/flash_attention/mask.cuh"

namespace powerhouse::cuda {

template <int kRowBlocks>
struct RunningSoftmax {
  static constexpr int kRows = kRowBlocks * 2;  // that a lane holds elements of

  float largest[kRows];  // of the scores as they come
  float sum[kRows];      // of this lane's exp(score - largest)

  __device__ __forceinline__ RunningSoftmax() {
#pragma unroll
    for (int row = 0; row < kRows; ++row) {
      largest[row] = kMinusInfinity;
      sum[row] = 0.0f;
    }
  }

  /// Turns scores into weights exp2(unit (score - largest)), and brings what was summed before to the new largest,
  /// where a row of the warp has one.
  template <int kScoreColumns, int kOutColumns>
  __device__ __forceinline__ void add(float (&scores)[kRowBlocks][kScoreColumns][4],
                                      float (&out)[kRowBlocks][kOutColumns][4], float unit) {
    float before[kRows];
    bool raised = false;
#pragma unroll
    for (int row = 0; row < kRows; ++row) {
      const int block = row / 2, half = row % 2;
      float top = largest[row];
#pragma unroll
      for (int n = 0; n < kScoreColumns; ++n) {
        top = maximum(top, maximum(scores[block][n][half * 2], scores[block][n][half * 2 + 1]));
      }
      top = maximum(top, shuffle_xor(top, 1));
      top = maximum(top, shuffle_xor(top, 2));
      before[row] = exp2_approximate(largest[row] * unit - shift(top, unit));
      raised = raised || top > largest[row];
      largest[row] = top;
    }
    if (any_lane(raised)) {
#pragma unroll
      for (int row = 0; row < kRows; ++row) {
        sum[row] *= before[row];
#pragma unroll
        for (int n = 0; n < kOutColumns; ++n) {
          out[row / 2][n][row % 2 * 2] *= before[row];
          out[row / 2][n][row % 2 * 2 + 1] *= before[row];
        }
      }
    }
#pragma unroll
    for (int row = 0; row < kRows; ++row) {
      const float shifted = shift(largest[row], unit);
      float added = 0.0f;
#pragma unroll
      for (int n = 0; n < kScoreColumns; ++n) {
#pragma unroll
        for (int e = row % 2 * 2; e < row % 2 * 2 + 2; ++e) {
          float& score = scores[row / 2][n][e];
          score = exp2_approximate(score * unit - shifted);
          added += score;
        }
      }
      sum[row] += added;
    }
  }

  static __device__ __forceinline__ float shift(float top, float unit) {
    return top == kMinusInfinity ? 0.0f : top * unit;  // a row that has seen nothing yet
  }

  /// Over all lanes of the row, with a sink's score among them where there is one. Returns what the output is to be
  /// multiplied by, and log(sum(exp(score))) in natural units.
  __device__ __forceinline__ float finish(int row, float unit, bool has_sink, float sink, float& lse) {
    constexpr float kLog2E = 1.4426950408889634f, kLn2 = 0.6931471805599453f;
    float total = sum[row];
    total += shuffle_xor(total, 1);
    total += shuffle_xor(total, 2);
    const float top = largest[row] == kMinusInfinity ? kMinusInfinity : largest[row] * unit;
    const float most = has_sink ? maximum(top, sink * kLog2E) : top;
    if (most == kMinusInfinity) {
      lse = kMinusInfinity;
      return 0.0f;
    }
    const float before = exp2_approximate(top - most);
    total *= before;
    if (has_sink) total += exp2_approximate(sink * kLog2E - most);
    lse = (most + log2_approximate(total)) * kLn2;
    return before * reciprocal_approximate(total);
  }
};

}  // namespace powerhouse::cuda
