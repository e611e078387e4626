// Which of x a lane multiplies in a product of few rows, and RMSNorm in front of it.
#pragma once

#include "kernels/cuda/elements.cuh"
#include "kernels/cuda/few_rows_product_params.h"
#include "kernels/cuda/few_rows_shape.h"

namespace powerhouse::cuda {

/// Which inputs a lane multiplies: of every step of its warp, eight.
struct FewRowsLane {
  int warp, group, quarter;  // the lane's output and row, and which inputs of a step are its
  int first, steps;          // of the warp
  std::int64_t inputs;

  __device__ __forceinline__ int number() const { return group * 4 + quarter; }
  __device__ __forceinline__ std::int64_t at(int step) const {
    return static_cast<std::int64_t>(first + step) * kFewRowsStep + quarter * 8;
  }
  __device__ __forceinline__ bool inside(int step) const { return at(step) < inputs; }
};

template <typename T>
static __device__ __forceinline__ Words row_words(const FewRowsParams& p, const FewRowsLane& lane, int row, int step) {
  if (row >= p.rows || step >= lane.steps || !lane.inside(step)) return {};
  return load_words(static_cast<const T*>(p.x) + row * p.x_stride + lane.at(step));
}

/// What RMSNorm multiplies a row by, of the sum of its squares.
static __device__ __forceinline__ float inverse_of_row(const FewRowsParams& p, float squares) {
  return inverse_root(squares * reciprocal_approximate(static_cast<float>(p.inputs)) + p.epsilon);
}
/// Eight elements of a row as RMSNorm leaves them.
template <typename T>
static __device__ __forceinline__ void norm_eight(const FewRowsParams& p, float inverse, const Words& weight,
                                                  Words& x) {
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    float pair[2] = {widen_low(x.word[i], T{}), widen_high(x.word[i], T{})};
    const float factors[2] = {widen_low(weight.word[i], T{}), widen_high(weight.word[i], T{})};
#pragma unroll
    for (int e = 0; e < 2; ++e) {
      pair[e] *= inverse;
      if (p.norm_weight == nullptr) continue;
      if (!p.round_once && !p.unit_offset) pair[e] = round_to<T>(pair[e]);
      pair[e] *= p.unit_offset ? 1.0f + factors[e] : factors[e];
    }
    x.word[i] = pack(pair[0], pair[1], T{});
  }
}

/// x as RMSNorm leaves it, in shared memory: what a lane will multiply it puts there itself, and before that, so early
/// that nobody waits for it, the norm's weight.
template <typename T, int kRowTiles>
struct NormedRows {
  const FewRowsParams& p;
  const FewRowsLane& lane;
  unsigned char* room;

  /// Of one row of 32 inputs and of its quarter.
  __device__ __forceinline__ unsigned char* place(int row, int step) const {
    return room + ((static_cast<std::int64_t>(lane.first + step) * p.rows + row) * 4 + lane.quarter) * 16;
  }
  __device__ __forceinline__ void start_weight() const {
    for (int step = 0; step < lane.steps && lane.group < p.rows; ++step) {
      const bool valid = p.norm_weight != nullptr && lane.inside(step);
      copy_async<16>(place(lane.group, step),
                     static_cast<const T*>(valid ? p.norm_weight : p.x) + (valid ? lane.at(step) : 0), valid);
    }
    copy_async_commit();
  }
  __device__ __forceinline__ void put_squares(int n, float* squares_of_warps) const {
    float squares = 0.0f;
#pragma unroll 8
    for (int step = 0; step < lane.steps; ++step) {
      const Words x = row_words<T>(p, lane, n * 8 + lane.group, step);
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const float low = widen_low(x.word[i], T{}), high = widen_high(x.word[i], T{});
        squares += low * low + high * high;
      }
    }
    squares += shuffle_xor(squares, 1);
    squares += shuffle_xor(squares, 2);
    if (lane.quarter == 0) squares_of_warps[lane.warp * 8 * kRowTiles + n * 8 + lane.group] = squares;
  }
  /// The whole block comes here.
  __device__ __forceinline__ void make(float* squares_of_warps) const {
#pragma unroll
    for (int n = 0; n < kRowTiles; ++n) put_squares(n, squares_of_warps);
    sync_block();
#pragma unroll
    for (int n = kRowTiles - 1; n >= 0; --n) {  // the first rows' places hold the weight
      const int row = n * 8 + lane.group;
      if (row >= p.rows) continue;
      float sum = 0.0f;
#pragma unroll
      for (int warp = 0; warp < kFewRowsWarps; ++warp) sum += squares_of_warps[warp * 8 * kRowTiles + row];
      const float inverse = inverse_of_row(p, sum);
#pragma unroll 4
      for (int step = 0; step < lane.steps; ++step) {
        Words x = row_words<T>(p, lane, row, step);
        norm_eight<T>(p, inverse, load_words(place(lane.group, step)), x);
        store_words(place(row, step), x);
      }
    }
  }
};

}  // namespace powerhouse::cuda
