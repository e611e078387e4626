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

/// What activations with a sigmoid, all but those of erf and relu, take it of, and the slope of that: one piece of code
/// for all, since each stands in a kernel once for each of a thread's elements.
struct SigmoidPlace {
  float u, du;

  __device__ __forceinline__ SigmoidPlace(cpu::ActivationKind kind, float x) : u(x), du(1.0f) {
    constexpr float kScale = 1.5957691216057308f;  // 2 sqrt(2 / pi): (1 + tanh(u)) / 2 is sigmoid(2 u)
    if (kind == cpu::ActivationKind::gelu_tanh) {
      u = kScale * (x + 0.044715f * x * x * x);
      du = kScale * (1.0f + 3 * 0.044715f * x * x);
    }
    if (kind == cpu::ActivationKind::quick_gelu) u = 1.702f * x, du = 1.702f;
    if (kind == cpu::ActivationKind::tanh) u = du = 2.0f, u *= x;
  }
};

static __device__ __forceinline__ float activate(cpu::ActivationKind kind, float x) {
  using Kind = cpu::ActivationKind;
  if (kind == Kind::gelu) return 0.5f * x * erfcf(-0.7071067811865476f * x);
  if (kind == Kind::relu) return x < 0 ? 0.0f : x;
  if (kind == Kind::relu2) return x < 0 ? 0.0f : x * x;
  if (kind == Kind::tanh) return tanhf(x);
  return (kind == Kind::sigmoid ? 1.0f : x) * sigmoid(SigmoidPlace(kind, x).u);
}

/// The sigmoid times x has the slope sigmoid(u) + x sigmoid(u) sigmoid(-u) du, the sigmoid alone the second part of
/// that for x = 1; tanh(x) is 2 sigmoid(2 x) - 1.
static __device__ __forceinline__ float activation_slope(cpu::ActivationKind kind, float x) {
  using Kind = cpu::ActivationKind;
  if (kind == Kind::gelu) {
    return 0.5f * erfcf(-0.7071067811865476f * x) + x * expf(-0.5f * x * x) * 0.3989422804014327f;
  }
  if (kind == Kind::relu) return x > 0 ? 1.0f : 0.0f;
  if (kind == Kind::relu2) return x > 0 ? 2.0f * x : 0.0f;
  const SigmoidPlace place(kind, x);
  const bool alone = kind == Kind::sigmoid || kind == Kind::tanh;
  const float factor = !alone ? x : kind == Kind::tanh ? 2.0f : 1.0f;
  return sigmoid(place.u) * ((alone ? 0.0f : 1.0f) + factor * sigmoid(-place.u) * place.du);
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
