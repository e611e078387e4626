// Low-rank terms of several adapters in one batch (Punica, Chen et al. 2023), in two launches: A x of every row, then
// what B makes of it is added to y. Up to eight neighbors with one adapter share what is read of A and B; they are
// summed apart, each in an order that its own numbers alone decide.
#pragma once

#include "kernels/cuda/elements.cuh"
#include "kernels/cuda/launch_shape.h"
#include "kernels/cuda/lora_gather_params.h"
#include "kernels/cuda/row_sums.cuh"

namespace powerhouse::cuda {

inline constexpr int kLoraThreads = 128, kLoraRows = 8, kLoraOutputs = 64;

/// kWidth neighbors: one, or where all begin on 16 bytes eight, or four where some are float32.
template <int kWidth>
static __device__ __forceinline__ void load_typed(const void* from, Element type, std::int64_t at, float (&x)[kWidth]) {
  if (type == Element::f32) return load_elements(static_cast<const float*>(from) + at, x);
  if (type == Element::bf16) return load_elements(static_cast<const bfloat16*>(from) + at, x);
  load_elements(static_cast<const float16*>(from) + at, x);
}

/// Where number `at` of a row's A x is kept: those that lanes read at once lie side by side, for eights in two halves.
static __device__ __forceinline__ int place_of_inner(const LoraGatherParams& p, int rank, int at) {
  if (!p.aligned || p.weight_type == Element::f32 || rank % 8 != 0) return at;
  return at / 4 % 2 * (rank / 2) + at / 8 * 4 + at % 4;
}

/// visitor(first, count, adapter) for each run of rows with one adapter among the block's.
template <typename Visitor>
static __device__ __forceinline__ void visit_runs(const LoraGatherParams& p, const Visitor& visitor) {
  const std::int64_t begin = static_cast<std::int64_t>(blockIdx.y) * kLoraRows;
  const int rows = p.rows - begin < kLoraRows ? static_cast<int>(p.rows - begin) : kLoraRows;
  for (int first = 0, end; first < rows; first = end) {
    const std::int32_t adapter = p.adapters[begin + first];
    for (end = first + 1; end < rows && p.adapters[begin + end] == adapter;) ++end;
    if (adapter >= 0) visitor(begin + first, end - first, adapter);
  }
}

/// Grid: ranks, rows by kLoraRows.
template <int kWidth>
__global__ void __launch_bounds__(kLoraThreads, 1) lora_shrink_kernel(const LoraGatherParams p) {
  constexpr int kWarps = kLoraThreads / 32;
  const int rank = static_cast<int>(blockIdx.x), thread = static_cast<int>(threadIdx.x);
  auto* const scratch = reinterpret_cast<float*>(shared_memory());  // [kLoraRows, kWarps]
  visit_runs(p, [&](std::int64_t first, int rows, std::int32_t adapter) {
    if (rank >= p.ranks[adapter]) return;
    float sums[kLoraRows] = {};
    for (std::int64_t at = thread * kWidth; at < p.inputs; at += kLoraThreads * kWidth) {
      float a[kWidth];
      load_typed(p.a[adapter], p.weight_type, rank * p.inputs + at, a);
#pragma unroll
      for (int row = 0; row < kLoraRows; ++row) {
        if (row >= rows) break;
        float x[kWidth];
        load_typed(p.x, p.type, (first + row) * p.x_stride + at, x);
#pragma unroll
        for (int i = 0; i < kWidth; ++i) sums[row] += a[i] * x[i];
      }
    }
#pragma unroll
    for (int row = 0; row < kLoraRows; ++row) {
      if (row >= rows) break;
      const float sum = warp_sum(sums[row]);
      if (thread % 32 == 0) scratch[row * kWarps + thread / 32] = sum;
    }
    sync_block();
    if (thread < rows) {
      float sum = 0.0f;
#pragma unroll
      for (int warp = 0; warp < kWarps; ++warp) sum += scratch[thread * kWarps + warp];
      p.workspace[(first + thread) * p.most_rank + place_of_inner(p, p.ranks[adapter], rank)] = sum;
    }
    sync_block();
  });
}

template <typename T>
static __device__ __forceinline__ void add_to(void* y, std::int64_t at, float value) {
  T& to = static_cast<T*>(y)[at];
  to = narrow<T>(widen(to) + value);
}

template <int kWidth>
static __device__ __forceinline__ void load_inner(const float* row, int rank, int at, float (&t)[kWidth]) {
  if constexpr (kWidth != 8) {
    load_elements(row + at, t);
  } else {
    float halves[2][4];
    load_elements(row + at / 2, halves[0]);
    load_elements(row + rank / 2 + at / 2, halves[1]);
#pragma unroll
    for (int i = 0; i < 8; ++i) t[i] = halves[i / 4][i % 4];
  }
}

/// Rows of a run times the block's outputs. As many lanes share an output as its row of B has pieces of kWidth, up to
/// 32, so that neighbors read what follows.
template <int kWidth>
static __device__ __forceinline__ void expand_run(const LoraGatherParams& p, std::int64_t first, int rows,
                                                  std::int32_t adapter) {
  const int rank = p.ranks[adapter], thread = static_cast<int>(threadIdx.x);
  int lanes = 1;
  while (lanes < 32 && lanes * kWidth < rank) lanes *= 2;
  const int groups = kLoraThreads / lanes;
  for (int group = thread / lanes; group < kLoraOutputs; group += groups) {
    const std::int64_t output = static_cast<std::int64_t>(blockIdx.x) * kLoraOutputs + group;
    float sums[kLoraRows] = {};
    for (int at = thread % lanes * kWidth; at < rank && output < p.outputs; at += lanes * kWidth) {
      float b[kWidth];
      load_typed(p.b[adapter], p.weight_type, output * rank + at, b);
#pragma unroll
      for (int row = 0; row < kLoraRows; ++row) {
        if (row >= rows) break;
        float t[kWidth];
        load_inner(p.workspace + (first + row) * p.most_rank, rank, at, t);
#pragma unroll
        for (int i = 0; i < kWidth; ++i) sums[row] += b[i] * t[i];
      }
    }
#pragma unroll
    for (int row = 0; row < kLoraRows; ++row) {
      if (row >= rows) break;
      for (int apart = lanes / 2; apart > 0; apart /= 2) sums[row] += shuffle_xor(sums[row], apart);
      if (thread % lanes != row % lanes || output >= p.outputs) continue;
      const std::int64_t at = (first + row) * p.y_stride + output;
      const float value = p.scales[adapter] * sums[row];
      switch (p.type) {
        case Element::f32: add_to<float>(p.y, at, value); break;
        case Element::bf16: add_to<bfloat16>(p.y, at, value); break;
        case Element::f16: add_to<float16>(p.y, at, value); break;
      }
    }
  }
}

/// Grid: outputs by kLoraOutputs, rows by kLoraRows.
template <int kWidth>
__global__ void __launch_bounds__(kLoraThreads, 1) lora_expand_kernel(const LoraGatherParams p) {
  visit_runs(p, [&](std::int64_t first, int rows, std::int32_t adapter) {
    if (p.ranks[adapter] % 8 == 0) return expand_run<kWidth>(p, first, rows, adapter);
    expand_run<1>(p, first, rows, adapter);
  });
}

template <typename Launch>
bool launch_lora_gather(const Launch& launch, LoraGatherParams p) {
  constexpr std::int64_t kMostGridRows = 65535;
  LaunchShape shape{.grid_x = p.most_rank,
                    .grid_y = divide_up(p.rows, kLoraRows),
                    .block_x = kLoraThreads,
                    .shared_bytes = kLoraThreads / 32 * kLoraRows * 4};
  if (shape.grid_y > kMostGridRows) return false;
  p.aligned = p.aligned && p.most_rank % 4 == 0;  // rows of A x are read 16 bytes at once too
  launch(shape,
         !p.aligned                                                ? lora_shrink_kernel<1>
         : p.type == Element::f32 || p.weight_type == Element::f32 ? lora_shrink_kernel<4>
                                                                   : lora_shrink_kernel<8>,
         p);
  if (p.most_rank == 0) return true;
  shape.grid_x = divide_up(p.outputs, kLoraOutputs);
  shape.shared_bytes = 0;
  launch(shape,
         !p.aligned                      ? lora_expand_kernel<1>
         : p.weight_type == Element::f32 ? lora_expand_kernel<4>
                                         : lora_expand_kernel<8>,
         p);
  return true;
}

}  // namespace powerhouse::cuda
