// SwiGLU, GeGLU and their kin, forward and backward: activation(gate) * up, element by element.
//
// The definitions are kernels/reference/activation.h and activation_gradient.h. Formulas are those that keep their
// relative accuracy where the result is small: 1 - sigmoid(u) is sigmoid(-u).
#pragma once

#include "kernels/cpu/training_params.h"
#include "kernels/cuda/elements.cuh"
#include "kernels/cuda/launch_shape.h"

namespace powerhouse::cuda {

static __device__ __forceinline__ float sigmoid(float u) { return 1.0f / (1.0f + expf(-u)); }

/// x sigmoid(u), and its slope where u has the slope du.
static __device__ __forceinline__ float gated(float x, float u) { return x * sigmoid(u); }
static __device__ __forceinline__ float gated_slope(float x, float u, float du) {
  return sigmoid(u) * (1.0f + x * sigmoid(-u) * du);
}

static __device__ __forceinline__ float activate(cpu::ActivationKind kind, float x) {
  constexpr float kScale = 1.5957691216057308f;  // 2 sqrt(2 / pi): (1 + tanh(u)) / 2 is sigmoid(2 u)
  switch (kind) {
    case cpu::ActivationKind::silu: return gated(x, x);
    case cpu::ActivationKind::gelu_tanh: return gated(x, kScale * (x + 0.044715f * x * x * x));
    case cpu::ActivationKind::gelu: return 0.5f * x * erfcf(-0.7071067811865476f * x);
    case cpu::ActivationKind::relu: return x < 0 ? 0.0f : x;
    case cpu::ActivationKind::quick_gelu: return gated(x, 1.702f * x);
    case cpu::ActivationKind::relu2: return x < 0 ? 0.0f : x * x;
    case cpu::ActivationKind::sigmoid: return sigmoid(x);
    case cpu::ActivationKind::tanh: return tanhf(x);
  }
  return x;
}

static __device__ __forceinline__ float activation_slope(cpu::ActivationKind kind, float x) {
  constexpr float kScale = 1.5957691216057308f;
  switch (kind) {
    case cpu::ActivationKind::silu: return gated_slope(x, x, 1.0f);
    case cpu::ActivationKind::gelu_tanh:
      return gated_slope(x, kScale * (x + 0.044715f * x * x * x), kScale * (1.0f + 3 * 0.044715f * x * x));
    case cpu::ActivationKind::gelu:
      return 0.5f * erfcf(-0.7071067811865476f * x) + x * expf(-0.5f * x * x) * 0.3989422804014327f;
    case cpu::ActivationKind::relu: return x > 0 ? 1.0f : 0.0f;
    case cpu::ActivationKind::quick_gelu: return gated_slope(x, 1.702f * x, 1.702f);
    case cpu::ActivationKind::relu2: return x > 0 ? 2.0f * x : 0.0f;
    case cpu::ActivationKind::sigmoid: return sigmoid(x) * sigmoid(-x);
    case cpu::ActivationKind::tanh: return 4.0f * sigmoid(2.0f * x) * sigmoid(-2.0f * x);
  }
  return 1.0f;
}

/// blockIdx.x: the row; blockIdx.y: 256 threads' columns of it.
template <typename T, int kWidth>
__global__ void __launch_bounds__(256) activation_kernel(const cpu::ActivationParams params) {
  const std::int64_t row = blockIdx.x;
  const std::int64_t at = (static_cast<std::int64_t>(blockIdx.y) * blockDim.x + threadIdx.x) * kWidth;
  if (at >= params.columns) return;
  float gate[kWidth], up[kWidth];
  load_elements(static_cast<const T*>(params.gate) + row * params.gate_stride + at, gate);
  if (params.up != nullptr) load_elements(static_cast<const T*>(params.up) + row * params.up_stride + at, up);
#pragma unroll
  for (int i = 0; i < kWidth; ++i) {
    gate[i] = activate(params.kind, gate[i]);
    if (params.up != nullptr) gate[i] *= up[i];
  }
  store_elements(static_cast<T*>(params.y) + row * params.y_stride + at, gate);
}

template <typename T, int kWidth>
__global__ void __launch_bounds__(256) activation_gradient_kernel(const cpu::ActivationGradientParams params) {
  const std::int64_t row = blockIdx.x;
  const std::int64_t at = (static_cast<std::int64_t>(blockIdx.y) * blockDim.x + threadIdx.x) * kWidth;
  if (at >= params.columns) return;
  float gate[kWidth], up[kWidth], dy[kWidth], dup[kWidth];
  load_elements(static_cast<const T*>(params.gate) + row * params.gate_stride + at, gate);
  load_elements(static_cast<const T*>(params.dy) + row * params.dy_stride + at, dy);
  if (params.up != nullptr) load_elements(static_cast<const T*>(params.up) + row * params.up_stride + at, up);
#pragma unroll
  for (int i = 0; i < kWidth; ++i) {
    if (params.dup != nullptr) dup[i] = dy[i] * activate(params.kind, gate[i]);
    gate[i] = activation_slope(params.kind, gate[i]) * dy[i];
    if (params.up != nullptr) gate[i] *= up[i];
  }
  store_elements(static_cast<T*>(params.dgate) + row * params.dgate_stride + at, gate);
  if (params.dup != nullptr) store_elements(static_cast<T*>(params.dup) + row * params.dup_stride + at, dup);
}

template <typename T, int kWidth>
LaunchShape activation_shape(std::int64_t rows, std::int64_t columns) {
  return {.grid_x = rows, .grid_y = divide_up(columns, 256 * kWidth), .block_x = 256};
}

template <typename Launch>
void launch_activation(const Launch& launch, const cpu::ActivationParams& p, std::int64_t rows) {
  const bool whole = Alignment{element_bytes(p.type)}
                         .pointer(p.gate)
                         .pointer(p.up)
                         .pointer(p.y)
                         .elements(p.columns)
                         .elements(p.gate_stride)
                         .elements(p.up_stride)
                         .elements(p.y_stride)
                         .whole;
  visit_element(p.type, [&](auto tag) {
    using T = decltype(tag);
    if (whole) {
      launch(activation_shape<T, kWidest<T>>(rows, p.columns), activation_kernel<T, kWidest<T>>, p);
    } else {
      launch(activation_shape<T, 1>(rows, p.columns), activation_kernel<T, 1>, p);
    }
  });
}

template <typename Launch>
void launch_activation_gradient(const Launch& launch, const cpu::ActivationGradientParams& p, std::int64_t rows) {
  const bool whole = Alignment{element_bytes(p.type)}
                         .pointer(p.gate)
                         .pointer(p.up)
                         .pointer(p.dy)
                         .pointer(p.dgate)
                         .pointer(p.dup)
                         .elements(p.columns)
                         .elements(p.gate_stride)
                         .elements(p.up_stride)
                         .elements(p.dy_stride)
                         .elements(p.dgate_stride)
                         .elements(p.dup_stride)
                         .whole;
  visit_element(p.type, [&](auto tag) {
    using T = decltype(tag);
    if (whole) {
      launch(activation_shape<T, kWidest<T>>(rows, p.columns), activation_gradient_kernel<T, kWidest<T>>, p);
    } else {
      launch(activation_shape<T, 1>(rows, p.columns), activation_gradient_kernel<T, 1>, p);
    }
  });
}

}  // namespace powerhouse::cuda
