// Rotary position embedding: a block turns the heads of one token, in place or from one tensor to another.
//
// The definition is kernels/reference/rope.h; every kind of it is a template's flag or the sign of the angle.
#pragma once

#include "kernels/cpu/elementwise_params.h"
#include "kernels/cuda/elements.cuh"
#include "kernels/cuda/launch_shape.h"

namespace powerhouse::cuda {

/// kCount pairs (a, b) of the angles whose cosines and sines are given.
template <int kCount>
static __device__ __forceinline__ void turn(float (&a)[kCount], float (&b)[kCount], const float* cos, const float* sin,
                                            float sign) {
  float c[kCount], s[kCount];
  load_elements(cos, c);
  load_elements(sin, s);
#pragma unroll
  for (int i = 0; i < kCount; ++i) {
    const float first = a[i] * c[i] - b[i] * (s[i] * sign);
    b[i] = b[i] * c[i] + a[i] * (s[i] * sign);
    a[i] = first;
  }
}

/// kWidth pairs half a head apart.
template <int kWidth, typename T>
static __device__ __forceinline__ void turn_halves(const T* from, T* to, std::int64_t half, const float* cos,
                                                   const float* sin, float sign) {
  float a[kWidth], b[kWidth];
  load_elements(from, a);
  load_elements(from + half, b);
  turn(a, b, cos, sin, sign);
  store_elements(to, a);
  store_elements(to + half, b);
}

/// Pairs side by side in kWidth elements; one pair where kWidth is 1.
template <int kWidth, typename T>
static __device__ __forceinline__ void turn_neighbors(const T* from, T* to, const float* cos, const float* sin,
                                                      float sign) {
  if constexpr (kWidth == 1) {
    float a[1] = {widen(from[0])}, b[1] = {widen(from[1])};
    turn(a, b, cos, sin, sign);
    to[0] = narrow<T>(a[0]);
    to[1] = narrow<T>(b[0]);
  } else {
    float x[kWidth], a[kWidth / 2], b[kWidth / 2];
    load_elements(from, x);
#pragma unroll
    for (int i = 0; i < kWidth / 2; ++i) {
      a[i] = x[2 * i];
      b[i] = x[2 * i + 1];
    }
    turn(a, b, cos, sin, sign);
#pragma unroll
    for (int i = 0; i < kWidth / 2; ++i) {
      x[2 * i] = a[i];
      x[2 * i + 1] = b[i];
    }
    store_elements(to, x);
  }
}

template <typename T, int kWidth, bool kInterleaved>
__global__ void __launch_bounds__(256) rope_kernel(const cpu::RopeParams params) {
  constexpr int kPairs = kInterleaved && kWidth > 1 ? kWidth / 2 : kWidth;  // of a thread
  const std::int64_t token = blockIdx.x;
  const int threads = static_cast<int>(blockDim.x), first = static_cast<int>(threadIdx.x);
  const std::int64_t half = params.rotary_dim / 2;
  const float sign = params.inverse ? -1.0f : 1.0f;
  T* const to = static_cast<T*>(params.data) + token * params.token_stride;
  const bool moves = params.source != nullptr;
  const T* const from = moves ? static_cast<const T*>(params.source) + token * params.source_token_stride : to;
  const std::int64_t from_stride = moves ? params.source_head_stride : params.head_stride;
  const std::int64_t position = params.positions == nullptr ? token : params.positions[token];
  const float* const cos = params.cos + position * params.table_stride;
  const float* const sin = params.sin + position * params.table_stride;

  const int parts = static_cast<int>(half) / kPairs;  // of a head
  for (int item = first; item < static_cast<int>(params.heads) * parts; item += threads) {
    const int head = item / parts;
    const int pair = item % parts * kPairs;
    const T* const x = from + head * from_stride;
    T* const y = to + head * params.head_stride;
    if constexpr (kInterleaved) {
      turn_neighbors<kWidth>(x + 2 * pair, y + 2 * pair, cos + pair, sin + pair, sign);
    } else {
      turn_halves<kWidth>(x + pair, y + pair, half, cos + pair, sin + pair, sign);
    }
  }
  if (!moves) return;
  const int rest = static_cast<int>(params.head_dim - params.rotary_dim);
  const int rest_parts = rest / kWidth;
  for (int item = first; item < static_cast<int>(params.heads) * rest_parts; item += threads) {
    const std::int64_t head = item / rest_parts;
    const std::int64_t at = params.rotary_dim + item % rest_parts * kWidth;
    float x[kWidth];
    load_elements(from + head * from_stride + at, x);
    store_elements(to + head * params.head_stride + at, x);
  }
}

/// The parts of heads that threads take all fit 16 bytes.
inline bool rope_is_whole(const cpu::RopeParams& p) {
  Alignment rows{element_bytes(p.type)};
  rows.pointer(p.data).pointer(p.source).pointer(p.cos).pointer(p.sin);
  rows.elements(p.token_stride).elements(p.head_stride).elements(p.source_token_stride).elements(p.source_head_stride);
  rows.elements(p.interleaved ? p.rotary_dim : p.rotary_dim / 2);
  if (p.source != nullptr) rows.elements(p.head_dim);
  return rows.whole && Alignment{4}.elements(p.table_stride).whole;
}

template <typename Launch>
void launch_rope(const Launch& launch, const cpu::RopeParams& p, std::int64_t tokens) {
  const LaunchShape shape{.grid_x = p.heads == 0 ? 0 : tokens, .block_x = 256};
  visit_element(p.type, [&](auto tag) {
    using T = decltype(tag);
    if (rope_is_whole(p)) {
      launch(shape, p.interleaved ? rope_kernel<T, kWidest<T>, true> : rope_kernel<T, kWidest<T>, false>, p);
    } else {
      launch(shape, p.interleaved ? rope_kernel<T, 1, true> : rope_kernel<T, 1, false>, p);
    }
  });
}

}  // namespace powerhouse::cuda
