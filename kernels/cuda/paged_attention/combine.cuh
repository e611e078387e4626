// The second launch of paged attention: a row's head, a block each, is put together of its parts. Groups of threads
// take parts by turns, and their sums are added in order, so that bits follow from the row's parts alone. Rows of
// one part are finished already.
#pragma once

#include "kernels/cuda/paged_attention/part_sums.cuh"
#include "kernels/cuda/row_sums.cuh"

namespace powerhouse::cuda {

inline constexpr int kCombineThreads = 256;

/// Grid: heads, rows of a sequence, sequences. kHeadDim: of the tile, four elements a thread.
template <int kHeadDim>
__global__ void __launch_bounds__(kCombineThreads)
    paged_combine_kernel(const PagedAttentionParams p, const PagedPlan plan) {
  constexpr int kFours = kHeadDim / 4, kGroups = kCombineThreads / kFours;
  const PagedSequence sequence(p.cache, static_cast<int>(blockIdx.z));
  const int row = static_cast<int>(blockIdx.y), head = static_cast<int>(blockIdx.x);
  if (row >= sequence.rows) return;
  const int parts = SeenPositions(sequence.position(row), p.window).parts();
  if (parts <= 1) return;

  const PagedWorkspace first(p, plan, sequence.first_row + row, head, 0);
  const int thread = static_cast<int>(threadIdx.x), lane = thread % 32;
  Stat all{kMinusInfinity, 0.0f};
  for (int part = lane; part < parts; part += 32) all.largest = maximum(all.largest, first.stat[part * 2]);
#pragma unroll
  for (int lanes = 16; lanes > 0; lanes /= 2) all.largest = maximum(all.largest, shuffle_xor(all.largest, lanes));
  for (int part = lane; part < parts; part += 32) {
    all.sum += first.stat[part * 2 + 1] * weight_of(first.stat[part * 2], all.largest);
  }
  all.sum = warp_sum(all.sum);
  const int at = thread % kFours * 4, group = thread / kFours;
  float out[4] = {};
  if (at < p.cache.head_dim) {
#pragma unroll 4
    for (int part = group; part < parts; part += kGroups) {
      float x[4];
      load_elements(first.sums + static_cast<std::int64_t>(part) * p.cache.head_dim + at, x);
      const float weight = weight_of(first.stat[part * 2], all.largest);
#pragma unroll
      for (int e = 0; e < 4; ++e) out[e] += weight * x[e];
    }
  }
  float* const sums = reinterpret_cast<float*>(shared_memory()) + at;  // [kGroups, kHeadDim]
  store_elements(sums + group * kHeadDim, out);
  sync_block();
  if (group != 0 || at >= p.cache.head_dim) return;
  const int filled = parts < kGroups ? parts : kGroups;
  for (int other = 1; other < filled; ++other) {
    float x[4];
    load_elements(sums + other * kHeadDim, x);
#pragma unroll
    for (int e = 0; e < 4; ++e) out[e] += x[e];
  }
  const float factor = normalizer(p, head, all);
#pragma unroll
  for (int e = 0; e < 4; ++e) out[e] *= factor;
  store_out(p, sequence.first_row + row, head, at, out);
}

}  // namespace powerhouse::cuda
