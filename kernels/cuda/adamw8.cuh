// AdamW with states of eight-bit codes: a warp takes a block of kStateBlock elements, eight a lane, so that the block's
// largest magnitude is found in registers and a step reads and writes everything once.
//
// The definition is kernels/reference/optimizer.h. A code is how many of the map's bounds lie below a number: a search
// of eight steps among bounds that stand in shared memory.
#pragma once

#include "kernels/cpu/optimizer_params.h"
#include "kernels/cuda/elements.cuh"
#include "kernels/cuda/launch_shape.h"

namespace powerhouse::cuda {

inline constexpr int kAdamWarps = 8;

/// A map of codes, in the device's memory.
struct CodeMap {
  const float* values = nullptr;  ///< [256]
  const float* bounds = nullptr;  ///< [256]
};

struct AdamW8Maps {
  CodeMap a, b;
};

/// In shared memory: values and bounds.
static __device__ __forceinline__ void copy_map(const CodeMap& map, float* to) {
  for (int i = static_cast<int>(threadIdx.y * 32 + threadIdx.x); i < 256; i += 32 * kAdamWarps) {
    to[i] = map.values[i];
    to[256 + i] = map.bounds[i];
  }
}

static __device__ __forceinline__ std::uint32_t code_of(const float* bounds, float x) {
  std::uint32_t code = 0;
#pragma unroll
  for (std::uint32_t step = 128; step > 0; step /= 2) {
    if (bounds[code + step - 1] < x) code += step;
  }
  return code;
}

/// Eight neighbors of a state: of a block's last part, `count` of them.
static __device__ __forceinline__ void read_codes(const cpu::UpdateState& state, const float* map, std::int64_t at,
                                                  int count, float (&x)[8]) {
  const auto* const codes = static_cast<const std::uint8_t*>(state.data) + at;
  const float scale = count > 0 ? state.absmax[at / cpu::kStateBlock] : 0.0f;
  if (count == 8) {
    const auto all = load_as<std::uint64_t>(codes);
#pragma unroll
    for (int i = 0; i < 8; ++i) x[i] = map[all >> 8 * i & 255u] * scale;
    return;
  }
#pragma unroll
  for (int i = 0; i < 8; ++i) x[i] = i < count ? map[codes[i]] * scale : 0.0f;
}

static __device__ __forceinline__ void write_codes(const cpu::UpdateState& state, const float* map, std::int64_t at,
                                                   int count, const float (&x)[8]) {
  float largest = 0;
#pragma unroll
  for (int i = 0; i < 8; ++i) largest = maximum(largest, fabsf(x[i]));
#pragma unroll
  for (int lanes = 16; lanes > 0; lanes /= 2) largest = maximum(largest, shuffle_xor(largest, lanes));
  sync_warp();  // all have read the scale
  if (threadIdx.x == 0) state.absmax[at / cpu::kStateBlock] = largest;
  const float inverse = 1.0f / (largest > 1e-38f ? largest : 1e-38f);  // as bitsandbytes: a block of zeros stays one
  auto* const codes = static_cast<std::uint8_t*>(state.data) + at;
  std::uint64_t all = 0;
#pragma unroll
  for (int i = 0; i < 8; ++i) {
    const std::uint32_t code = code_of(map + 256, x[i] * inverse);
    all |= static_cast<std::uint64_t>(code) << 8 * i;
    if (count != 8 && i < count) codes[i] = static_cast<std::uint8_t>(code);
  }
  if (count == 8) store_as<std::uint64_t>(codes, all);
}

template <typename T>
static __device__ __forceinline__ void read_eight(const T* from, int count, float (&x)[8]) {
  if (count == 8) return load_elements(from, x);
#pragma unroll
  for (int i = 0; i < 8; ++i) x[i] = i < count ? widen(from[i]) : 0.0f;
}
template <typename T>
static __device__ __forceinline__ void write_eight(T* to, int count, const float (&x)[8]) {
  if (count == 8) return store_elements(to, x);
#pragma unroll
  for (int i = 0; i < 8; ++i) {
    if (i < count) to[i] = narrow<T>(x[i]);
  }
}

template <typename T>
__global__ void __launch_bounds__(32 * kAdamWarps)
    adamw8_kernel(const cpu::UpdateParams params, const AdamW8Maps maps, std::int64_t elements) {
  auto* const map_a = reinterpret_cast<float*>(shared_memory());
  float* const map_b = map_a + 512;
  copy_map(maps.a, map_a);
  copy_map(maps.b, map_b);
  sync_block();
  const std::int64_t blocks = (elements + cpu::kStateBlock - 1) / cpu::kStateBlock;
  const std::int64_t first = static_cast<std::int64_t>(blockIdx.x) * kAdamWarps + threadIdx.y;
  for (std::int64_t block = first; block < blocks; block += static_cast<std::int64_t>(gridDim.x) * kAdamWarps) {
    const std::int64_t at = block * cpu::kStateBlock + threadIdx.x * 8;
    const int count = at + 8 <= elements ? 8 : at < elements ? static_cast<int>(elements - at) : 0;
    float g[8], w[8], a[8], b[8];
    read_eight(static_cast<const T*>(params.gradient) + at, count, g);
    if (params.master != nullptr) {
      read_eight(params.master + at, count, w);
    } else {
      read_eight(static_cast<const T*>(params.parameter) + at, count, w);
    }
    read_codes(params.a, map_a, at, count, a);
    read_codes(params.b, map_b, at, count, b);
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      const float slope = params.grad_scale * g[i] + params.l2 * w[i];
      a[i] += params.one_minus_beta1 * (slope - a[i]);
      b[i] = params.beta2 * b[i] + params.one_minus_beta2 * slope * slope;
      w[i] = w[i] * params.decay - params.lr * a[i] / (sqrtf(b[i]) / params.correction + params.eps);
      if (i >= count) a[i] = b[i] = 0.0f;
    }
    if (params.master != nullptr) write_eight(params.master + at, count, w);
    if (params.parameter != nullptr) write_eight(static_cast<T*>(params.parameter) + at, count, w);
    write_codes(params.a, map_a, at, count, a);
    write_codes(params.b, map_b, at, count, b);
  }
}

/// Rule adamw with codes in both states, all arrays on 16 bytes.
template <typename Launch>
void launch_adamw8(const Launch& launch, const cpu::UpdateParams& p, std::int64_t elements) {
  const std::int64_t blocks = divide_up(elements, cpu::kStateBlock * kAdamWarps);
  const LaunchShape shape{.grid_x = blocks < 2048 ? blocks : 2048,  // each copies the maps
                          .block_x = 32,
                          .block_y = kAdamWarps,
                          .shared_bytes = 4 * 256 * 4};
  const AdamW8Maps maps{{p.a.codes->values, p.a.codes->bounds}, {p.b.codes->values, p.b.codes->bounds}};
  visit_element(p.type, [&](auto tag) { launch(shape, adamw8_kernel<decltype(tag)>, p, maps, elements); });
}

}  // namespace powerhouse::cuda
