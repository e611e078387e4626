// x of a product of few rows with blocks, in shared memory where it has room: as it is, or as RMSNorm leaves it. A
// thread norms what it copied itself.
#pragma once

#include "kernels/cuda/few_block_plan.cuh"
#include "kernels/cuda/few_rows_norm.cuh"
#include "kernels/cuda/row_sums.cuh"

namespace powerhouse::cuda {

template <typename T>
struct FewBlockX {
  const FewRowsParams& p;
  const FewBlockPlan& plan;
  unsigned char* shared;
  int thread;

  __device__ __forceinline__ int threads() const { return plan.warps * 32; }
  __device__ __forceinline__ int words() const { return static_cast<int>(p.inputs / 8); }
  __device__ __forceinline__ std::uint16_t* row_of(int row) const {
    return reinterpret_cast<std::uint16_t*>(shared + plan.x_at) + row * plan.x_stride;
  }
  __device__ __forceinline__ const std::uint16_t* given_row(int row) const {
    return static_cast<const std::uint16_t*>(p.x) + row * p.x_stride;
  }
  /// What all read.
  __device__ __forceinline__ const std::uint16_t* begin_of_row(int row) const {
    return plan.x_at != 0 ? row_of(row) : given_row(row);
  }

  /// Nobody waits for it: it is so early.
  __device__ __forceinline__ void start_norm_weight() const {
    if (!p.normed || p.norm_weight == nullptr) return;
    for (int word = thread; word < words(); word += threads()) {
      copy_async<16>(shared + plan.norm_at + word * 16, static_cast<const std::uint16_t*>(p.norm_weight) + word * 8,
                     true);
    }
  }
  /// The thread's part of up to kRows rows, which come at once, and their squares.
  template <int kRows>
  __device__ __forceinline__ void copy_rows(float (&squares)[kRows]) const {
#pragma unroll 1
    for (int word = thread; word < words(); word += threads()) {
      Words x[kRows];
#pragma unroll
      for (int row = 0; row < kRows; ++row) {
        if (row < p.rows) x[row] = load_words(given_row(row) + word * 8);
      }
#pragma unroll
      for (int row = 0; row < kRows; ++row) {
        if (row >= p.rows) continue;
        store_words(row_of(row) + word * 8, x[row]);
        if (!p.normed) continue;
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          const float low = widen_low(x[row].word[i], T{}), high = widen_high(x[row].word[i], T{});
          squares[row] += low * low + high * high;
        }
      }
    }
  }
  /// All of that, and the warp's squares for the others.
  template <int kRows>
  __device__ __forceinline__ void take_rows(float* squares) const {
    float of_thread[kRows] = {};
    copy_rows(of_thread);
    if (!p.normed) return;
#pragma unroll
    for (int row = 0; row < kRows; ++row) {
      const float sum = row < p.rows ? warp_sum(of_thread[row]) : 0.0f;
      if (thread % 32 == 0) squares[thread / 32 * kMostPlainRows + row] = sum;
    }
  }
  /// `squares`: [warps][rows]. A lane sums those of one row.
  __device__ __forceinline__ void norm_rows(const float* squares) const {
    const int own = thread % kMostPlainRows < p.rows ? thread % kMostPlainRows : 0;
    float sum = 0.0f;
    for (int warp = 0; warp < plan.warps; ++warp) sum += squares[warp * kMostPlainRows + own];
    const float of_lane = inverse_of_row(p, sum);
#pragma unroll 1
    for (int row = 0; row < p.rows; ++row) {
      const float inverse = shuffle(of_lane, row);
#pragma unroll 1
      for (int word = thread; word < words(); word += threads()) {
        Words x = load_words(row_of(row) + word * 8);
        const Words weight = p.norm_weight != nullptr ? load_words(shared + plan.norm_at + word * 16) : Words{};
        norm_eight<T>(p, inverse, weight, x);
        store_words(row_of(row) + word * 8, x);
      }
    }
  }
  /// The whole block comes here; behind it all can read x.
  __device__ __forceinline__ void make() const {
    if (plan.x_at != 0) {
      auto* const squares = reinterpret_cast<float*>(shared + plan.squares_at);
      if (p.rows == 1) {
        take_rows<1>(squares);
      } else {
        take_rows<kMostPlainRows>(squares);
      }
      if (p.normed) {
        sync_block();
        norm_rows(squares);
      }
    }
    sync_block();
  }
};

}  // namespace powerhouse::cuda
