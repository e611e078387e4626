// The second launch of paged attention: the parts of a row's head are put together in the order of their positions, a
// warp each. Rows of one part are finished already.
#pragma once

#include "kernels/cuda/paged_attention/part_sums.cuh"
#include "kernels/cuda/row_sums.cuh"

namespace powerhouse::cuda {

inline constexpr int kCombineWarps = 4;

/// Grid: heads by kCombineWarps, rows of a sequence, sequences.
template <typename T>
__global__ void __launch_bounds__(32 * kCombineWarps)
    paged_combine_kernel(const PagedAttentionParams p, const PagedPlan plan) {
  const PagedSequence sequence(p.cache, static_cast<int>(blockIdx.z));
  const int row = static_cast<int>(blockIdx.y), lane = static_cast<int>(threadIdx.x);
  const int head = static_cast<int>(blockIdx.x) * kCombineWarps + static_cast<int>(threadIdx.y);
  if (row >= sequence.rows || head >= p.heads) return;
  const int parts = SeenPositions(sequence.position(row), p.window).parts();
  if (parts <= 1) return;

  const PagedWorkspace first(p, plan, sequence.first_row + row, head, 0);
  Stat all{kMinusInfinity, 0.0f};
  for (int part = lane; part < parts; part += 32) all.largest = maximum(all.largest, first.stat[part * 2]);
#pragma unroll
  for (int lanes = 16; lanes > 0; lanes /= 2) all.largest = maximum(all.largest, shuffle_xor(all.largest, lanes));
  for (int part = lane; part < parts; part += 32) {
    all.sum += first.stat[part * 2 + 1] * weight_of(first.stat[part * 2], all.largest);
  }
  all.sum = warp_sum(all.sum);
  const float factor = normalizer(p, head, all);
  for (int at = lane * 4; at < p.cache.head_dim; at += 32 * 4) {
    float out[4] = {};
    for (int part = 0; part < parts; ++part) {
      float x[4];
      load_elements(first.sums + part * p.cache.head_dim + at, x);
      const float weight = weight_of(first.stat[part * 2], all.largest) * factor;
#pragma unroll
      for (int e = 0; e < 4; ++e) out[e] += weight * x[e];
    }
    store_elements(paged_out<T>(p, sequence.first_row + row, head) + at, out);
  }
}

}  // namespace powerhouse::cuda
