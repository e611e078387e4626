// Gradients of RMSNorm and LayerNorm: x and dy are read once. A block takes a part of the rows, one after the other,
// and sums the gradients of weight and bias in shared memory, where every thread has columns of its own; parts are put
// together by the caller, so that results do not depend on the order in which blocks run.
//
// The definition is kernels/reference/norm_gradient.h, with parts of `part_rows` rows instead of kNormRows.
#pragma once

#include "kernels/cpu/training_params.h"
#include "kernels/cuda/norm.cuh"

namespace powerhouse::cuda {

/// Where the sum of column `at` stands, among those of a warp or block of blockDim.x threads: in rows of what all
/// threads reach for at once, 16 bytes each; rows are half the banks apart, so that columns side by side meet no
/// conflict either.
template <int kWidth>
static __device__ __forceinline__ int sum_place(int at) {
  if constexpr (kWidth <= 4) {
    return at;
  } else {
    const int threads = static_cast<int>(blockDim.x);
    const int vector = at / kWidth;
    const int row = vector / threads * (kWidth / 4) + at % kWidth / 4;
    return row * (threads * 4 + 16) + vector % threads * 4 + at % 4;
  }
}

/// sums[at, at + kWidth) += values.
template <int kWidth>
static __device__ __forceinline__ void add_sums(float* sums, int at, const float (&values)[kWidth]) {
  constexpr int kChunk = kWidth < 4 ? kWidth : 4;
#pragma unroll
  for (int first = 0; first < kWidth; first += kChunk) {
    float* const place = sums + sum_place<kWidth>(at + first);
    float chunk[kChunk];
    load_elements(place, chunk);
#pragma unroll
    for (int i = 0; i < kChunk; ++i) chunk[i] += values[first + i];
    store_elements(place, chunk);
  }
}

template <int kWidth>
static __device__ __forceinline__ void write_sums(const float* sums, int size, int stride, float* out) {
  constexpr int kChunk = kWidth < 4 ? kWidth : 4;
  const int threads = static_cast<int>(blockDim.x * blockDim.y);
  const int first = static_cast<int>(threadIdx.y * blockDim.x + threadIdx.x);
  for (int at = first * kChunk; at < size; at += threads * kChunk) {
    const float* const place = sums + sum_place<kWidth>(at);
    float total[kChunk];
    load_elements(place, total);
    for (int y = 1; y < static_cast<int>(blockDim.y); ++y) {
      float more[kChunk];
      load_elements(place + y * stride, more);
#pragma unroll
      for (int i = 0; i < kChunk; ++i) total[i] += more[i];
    }
    store_elements(out + at, total);
  }
}

/// One row of one head: its gradient, and its share of the sums.
template <typename T, int kWidth, int kElements>
static __device__ __forceinline__ void norm_gradient_row(const cpu::NormGradientParams& params, std::int64_t row,
                                                         std::int64_t head, float* scratch, float* weight_sums,
                                                         float* bias_sums) {
  const T* const x = static_cast<const T*>(params.x) + row * params.x_stride + head * params.x_head_stride;
  const T* const dy = static_cast<const T*>(params.dy) + row * params.dy_stride + head * params.dy_head_stride;
  const T* const weights = static_cast<const T*>(params.weight) + head * params.weight_head_stride;
  T* const dx = static_cast<T*>(params.dx) + row * params.dx_stride + head * params.dx_head_stride;
  constexpr int kParts = kElements / kWidth;
  const int size = static_cast<int>(params.size);
  const float share_of_one = reciprocal_approximate(static_cast<float>(size));

  float u[kParts][kWidth], g[kParts][kWidth];
  float sum = 0;
  for_parts<kParts, kWidth>(size, [&](int part, int at) {
    load_elements(x + at, u[part]);
    load_elements(dy + at, g[part]);
#pragma unroll
    for (int i = 0; i < kWidth; ++i) sum += u[part][i];
  });
  const float mean = params.centered ? row_sum(sum, scratch) * share_of_one : 0.0f;
  float squares = 0;
  for_parts<kParts, kWidth>(size, [&](int part, int) {
#pragma unroll
    for (int i = 0; i < kWidth; ++i) {
      u[part][i] -= mean;
      squares += u[part][i] * u[part][i];
    }
  });
  const float inverse = inverse_root(row_sum(squares, scratch + kRowScratch) * share_of_one + params.epsilon);
  const bool rounded = !params.centered && !params.round_once && !params.unit_offset;
  float g_sum = 0, along = 0;
  for_parts<kParts, kWidth>(size, [&](int part, int at) {
    if (bias_sums != nullptr) add_sums(bias_sums, at, g[part]);
    float share[kWidth];
#pragma unroll
    for (int i = 0; i < kWidth; ++i) {
      u[part][i] *= inverse;
      share[i] = g[part][i] * (rounded ? round_to<T>(u[part][i]) : u[part][i]);
    }
    if (weight_sums != nullptr) add_sums(weight_sums, at, share);
    float factors[kWidth] = {};
    if (params.weight != nullptr) load_elements(weights + at, factors);
#pragma unroll
    for (int i = 0; i < kWidth; ++i) {
      if (params.weight != nullptr) g[part][i] *= params.unit_offset ? 1.0f + factors[i] : factors[i];
      g_sum += g[part][i];
      along += g[part][i] * u[part][i];
    }
  });
  if (params.dx == nullptr) {
    if (blockDim.y == 1) sync_block();  // before the next row's sums come into the same scratch
    return;
  }
  const float g_mean = params.centered ? row_sum(g_sum, scratch + 2 * kRowScratch) * share_of_one : 0.0f;
  const float slope = row_sum(along, scratch + 3 * kRowScratch) * share_of_one;
  for_parts<kParts, kWidth>(size, [&](int part, int at) {
#pragma unroll
    for (int i = 0; i < kWidth; ++i) g[part][i] = inverse * (g[part][i] - g_mean - u[part][i] * slope);
    store_elements(dx + at, g[part]);
  });
}

/// blockIdx.x: the part; blockIdx.y: the head, where each has its own weight.
template <typename T, int kWidth, int kElements>
__global__ void __launch_bounds__(kNormThreads)
    norm_gradient_kernel(const cpu::NormGradientParams params, std::int64_t part_rows) {
  auto* const scratch = reinterpret_cast<float*>(shared_memory());
  float* const sums = scratch + (blockDim.y == 1 ? 4 * kRowScratch : 0);
  constexpr int kChunk = kWidth < 4 ? kWidth : 4;
  const int room = (static_cast<int>(blockDim.x) + 4) * kElements;
  const int warps = static_cast<int>(blockDim.y), warp = static_cast<int>(threadIdx.y);
  float* const all_bias_sums = params.dweight == nullptr ? sums : sums + warps * room;
  float* const weight_sums = params.dweight == nullptr ? nullptr : sums + warp * room;
  float* const bias_sums = params.dbias == nullptr ? nullptr : all_bias_sums + warp * room;
  const float zeros[kChunk] = {};
  for (int at = static_cast<int>(threadIdx.x) * kChunk; at < room; at += static_cast<int>(blockDim.x) * kChunk) {
    if (weight_sums != nullptr) store_elements(weight_sums + at, zeros);
    if (bias_sums != nullptr) store_elements(bias_sums + at, zeros);
  }
  sync_block();

  const bool own_weights = params.weight_head_stride != 0;
  const unsigned heads = own_weights ? 1 : static_cast<unsigned>(params.heads);
  const std::int64_t first = static_cast<std::int64_t>(blockIdx.x) * part_rows;
  const auto rows = static_cast<unsigned>(first + part_rows < params.rows ? part_rows : params.rows - first);
  for (unsigned item = threadIdx.y; item < rows * heads; item += blockDim.y) {
    const std::int64_t head = own_weights ? blockIdx.y : item % heads;
    norm_gradient_row<T, kWidth, kElements>(params, first + item / heads, head, scratch, weight_sums, bias_sums);
  }
  sync_block();
  const std::int64_t place = (static_cast<std::int64_t>(blockIdx.x) * gridDim.y + blockIdx.y) * params.size;
  const int size = static_cast<int>(params.size);
  if (weight_sums != nullptr) write_sums<kWidth>(sums, size, room, params.dweight + place);
  if (bias_sums != nullptr) write_sums<kWidth>(all_bias_sums, size, room, params.dbias + place);
}

inline LaunchShape norm_gradient_shape(const cpu::NormGradientParams& p, std::int64_t part_rows, int elements) {
  LaunchShape shape = norm_shape(1, p.size, elements);
  shape.grid_x = divide_up(p.rows, part_rows);
  shape.grid_y = p.weight_head_stride != 0 ? p.heads : 1;
  const int kinds = (p.dweight != nullptr) + (p.dbias != nullptr);
  shape.shared_bytes = (shape.block_y == 1 ? 4 * kRowScratch * 4 : 0) +
                       kinds * shape.block_y * (shape.block_x + std::int64_t{4}) * elements * 4;
  return shape;
}

template <typename Launch>
bool launch_norm_gradient(const Launch& launch, const cpu::NormGradientParams& p, std::int64_t part_rows) {
  const bool whole = Alignment{element_bytes(p.type)}
                         .pointer(p.x)
                         .pointer(p.dy)
                         .pointer(p.weight)
                         .pointer(p.dx)
                         .pointer(p.dweight)
                         .pointer(p.dbias)
                         .elements(p.size)
                         .elements(p.x_stride)
                         .elements(p.dy_stride)
                         .elements(p.dx_stride)
                         .elements(p.x_head_stride)
                         .elements(p.dy_head_stride)
                         .elements(p.dx_head_stride)
                         .elements(p.weight_head_stride)
                         .whole;
  return visit_element(p.type, [&](auto tag) {
    using T = decltype(tag);
    return visit_norm<T>(whole, p.size, [&](auto width, auto elements) {
      launch(norm_gradient_shape(p, part_rows, elements.kValue), norm_gradient_kernel<T, width.kValue, elements.kValue>,
             p, part_rows);
    });
  });
}

}  // namespace powerhouse::cuda
