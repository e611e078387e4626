// RMSNorm, with the residual added before it, and LayerNorm: one pass over memory. A row lies in the registers of a
// warp, four rows a block, or of a whole block, and its statistics are sums between the threads' registers.
//
// The definitions are kernels/reference/rms_norm.h and layer_norm.h; the arguments are theirs, in the device's memory.
#pragma once

#include "kernels/cpu/elementwise_params.h"
#include "kernels/cuda/elements.cuh"
#include "kernels/cuda/launch_shape.h"
#include "kernels/cuda/row_sums.cuh"

namespace powerhouse::cuda {

/// Elements of a row that a thread holds, 8 without 16-byte accesses: with more, or with 1,024 threads, which leave
/// each 64 registers, gradients spill. 0: the row is longer than a block can hold.
inline constexpr int kNormThreads = 512;
inline constexpr int norm_elements(bool whole, std::int64_t size) {
  if (!whole) return size <= 8 * kNormThreads ? 8 : 0;
  return size <= 16 * kNormThreads ? 16 : size <= 32 * kNormThreads ? 32 : 0;
}

inline LaunchShape norm_shape(std::int64_t items, std::int64_t size, int elements) {
  const std::int64_t warps = divide_up(size, 32 * elements);
  LaunchShape shape{.block_x = static_cast<unsigned>(warps <= 1 ? 32 : 32 * warps), .block_y = warps <= 1 ? 4u : 1u};
  shape.grid_x = divide_up(items, shape.block_y);
  shape.shared_bytes = warps <= 1 ? 0 : 2 * kRowScratch * 4;
  return shape;
}

/// visitor(kWidth, kElements) as constants: of an access, and of a thread. False where a row is too long.
template <typename T, typename Visitor>
bool visit_norm(bool whole, std::int64_t size, const Visitor& visitor) {
  switch (norm_elements(whole, size)) {
    case 8: visitor(Constant<1>{}, Constant<8>{}); return true;
    case 16: visitor(Constant<kWidest<T>>{}, Constant<16>{}); return true;
    case 32: visitor(Constant<kWidest<T>>{}, Constant<32>{}); return true;
    default: return false;
  }
}

/// Calls visit(index of the part in registers, index of its first element) for the thread's parts of a row.
template <int kParts, int kWidth, typename Visit>
static __device__ __forceinline__ void for_parts(int size, const Visit& visit) {
#pragma unroll
  for (int part = 0; part < kParts; ++part) {
    const int at = (part * static_cast<int>(blockDim.x) + static_cast<int>(threadIdx.x)) * kWidth;
    if (at < size) visit(part, at);
  }
}

template <typename T, int kWidth, int kElements>
__global__ void __launch_bounds__(kNormThreads, 1)
    rms_norm_kernel(const cpu::RmsNormParams params, std::int64_t items) {
  constexpr int kParts = kElements / kWidth;
  const unsigned item = blockIdx.x * blockDim.y + threadIdx.y;
  if (item >= items) return;
  const std::int64_t row = item / static_cast<unsigned>(params.heads);
  const std::int64_t head = item % static_cast<unsigned>(params.heads);
  T* const x = static_cast<T*>(params.x) + row * params.x_stride + head * params.x_head_stride;
  T* const y = static_cast<T*>(params.y) + row * params.y_stride + head * params.y_head_stride;
  const T* const residual = static_cast<const T*>(params.residual) + row * params.residual_stride;
  const T* const weights = static_cast<const T*>(params.weight) + head * params.weight_head_stride;
  const int size = static_cast<int>(params.size);

  float values[kParts][kWidth];
  float squares = 0;
  for_parts<kParts, kWidth>(size, [&](int part, int at) {
    load_elements(x + at, values[part]);
    if (params.residual != nullptr) {
      float more[kWidth];
      load_elements(residual + at, more);
#pragma unroll
      for (int i = 0; i < kWidth; ++i) values[part][i] = round_to<T>(values[part][i] + more[i]);
      store_elements(x + at, values[part]);
    }
#pragma unroll
    for (int i = 0; i < kWidth; ++i) squares += values[part][i] * values[part][i];
  });
  squares = row_sum(squares, reinterpret_cast<float*>(shared_memory()));
  const float inverse = inverse_root(squares * reciprocal_approximate(static_cast<float>(size)) + params.epsilon);
  for_parts<kParts, kWidth>(size, [&](int part, int at) {
    float factors[kWidth] = {};
    if (params.weight != nullptr) load_elements(weights + at, factors);
#pragma unroll
    for (int i = 0; i < kWidth; ++i) {
      float result = values[part][i] * inverse;
      if (params.weight != nullptr) {
        if (!params.round_once && !params.unit_offset) result = round_to<T>(result);
        result *= params.unit_offset ? 1.0f + factors[i] : factors[i];
      }
      values[part][i] = result;
    }
    store_elements(y + at, values[part]);
  });
}

template <typename T, int kWidth, int kElements>
__global__ void __launch_bounds__(kNormThreads, 1)
    layer_norm_kernel(const cpu::LayerNormParams params, std::int64_t items) {
  constexpr int kParts = kElements / kWidth;
  const unsigned item = blockIdx.x * blockDim.y + threadIdx.y;
  if (item >= items) return;
  const std::int64_t row = item / static_cast<unsigned>(params.heads);
  const std::int64_t head = item % static_cast<unsigned>(params.heads);
  const T* const x = static_cast<const T*>(params.x) + row * params.x_stride + head * params.x_head_stride;
  T* const y = static_cast<T*>(params.y) + row * params.y_stride + head * params.y_head_stride;
  const T* const weights = static_cast<const T*>(params.weight) + head * params.weight_head_stride;
  const T* const biases = static_cast<const T*>(params.bias) + head * params.weight_head_stride;
  auto* const scratch = reinterpret_cast<float*>(shared_memory());
  const int size = static_cast<int>(params.size);
  const float share = reciprocal_approximate(static_cast<float>(size));

  float values[kParts][kWidth];
  float sum = 0;
  for_parts<kParts, kWidth>(size, [&](int part, int at) {
    load_elements(x + at, values[part]);
#pragma unroll
    for (int i = 0; i < kWidth; ++i) sum += values[part][i];
  });
  const float mean = row_sum(sum, scratch) * share;
  float squares = 0;
  for_parts<kParts, kWidth>(size, [&](int part, int) {
#pragma unroll
    for (int i = 0; i < kWidth; ++i) {
      values[part][i] -= mean;
      squares += values[part][i] * values[part][i];
    }
  });
  const float inverse = inverse_root(row_sum(squares, scratch + kRowScratch) * share + params.epsilon);
  for_parts<kParts, kWidth>(size, [&](int part, int at) {
    float factors[kWidth] = {}, shifts[kWidth] = {};
    if (params.weight != nullptr) load_elements(weights + at, factors);
    if (params.bias != nullptr) load_elements(biases + at, shifts);
#pragma unroll
    for (int i = 0; i < kWidth; ++i) {
      float result = values[part][i] * inverse;
      if (params.weight != nullptr) result *= factors[i];
      if (params.bias != nullptr) result += shifts[i];
      values[part][i] = result;
    }
    store_elements(y + at, values[part]);
  });
}

/// What RMSNorm and LayerNorm have in common.
template <typename Params>
Alignment norm_alignment(const Params& p) {
  return Alignment{element_bytes(p.type)}
      .pointer(p.x)
      .pointer(p.weight)
      .pointer(p.y)
      .elements(p.size)
      .elements(p.x_stride)
      .elements(p.y_stride)
      .elements(p.x_head_stride)
      .elements(p.y_head_stride)
      .elements(p.weight_head_stride);
}

template <typename Launch>
bool launch_rms_norm(const Launch& launch, const cpu::RmsNormParams& p, std::int64_t items) {
  const bool whole = norm_alignment(p).pointer(p.residual).elements(p.residual_stride).whole;
  return visit_element(p.type, [&](auto tag) {
    using T = decltype(tag);
    return visit_norm<T>(whole, p.size, [&](auto width, auto elements) {
      launch(norm_shape(items, p.size, elements.kValue), rms_norm_kernel<T, width.kValue, elements.kValue>, p, items);
    });
  });
}

template <typename Launch>
bool launch_layer_norm(const Launch& launch, const cpu::LayerNormParams& p, std::int64_t items) {
  const bool whole = norm_alignment(p).pointer(p.bias).whole;
  return visit_element(p.type, [&](auto tag) {
    using T = decltype(tag);
    return visit_norm<T>(whole, p.size, [&](auto width, auto elements) {
      launch(norm_shape(items, p.size, elements.kValue), layer_norm_kernel<T, width.kValue, elements.kValue>, p, items);
    });
  });
}

}  // namespace powerhouse::cuda
