// The elementwise rules of optimizers whose states are numbers, over all parameters in one launch, and the sums of
// squares of their gradients. Every number is read and written once; the definition is kernels/reference/optimizer.h.
#pragma once

#include "kernels/cuda/elements.cuh"
#include "kernels/cuda/launch_shape.h"
#include "kernels/cuda/optimizer_params.h"

namespace powerhouse::cuda {

inline constexpr int kUpdateThreads = 256;
inline constexpr int kUpdateWidth = 8;  // elements of a thread at once

/// The item that a chunk belongs to.
static __device__ __forceinline__ const UpdateItem& item_of(const UpdateTable& table, std::int64_t chunk) {
  int low = 0, high = table.count;
  while (high - low > 1) {
    const int middle = (low + high) / 2;
    (table.items[middle].first_chunk <= chunk ? low : high) = middle;
  }
  return table.items[low];
}

/// visitor(T{}), within a kernel.
template <typename Visitor>
static __device__ __forceinline__ void with_element(Element type, const Visitor& visitor) {
  switch (type) {
    case Element::bf16: return visitor(bfloat16{});
    case Element::f16: return visitor(float16{});
    default: return visitor(float{});
  }
}

static __device__ __forceinline__ bool on_16_bytes(const void* p) {
  return reinterpret_cast<std::uintptr_t>(p) % 16 == 0;
}

/// A step of one element; `g` is the gradient.
static __device__ __forceinline__ void update_element(const cpu::UpdateParams& p, float g, float& w, float& a,
                                                      float& b) {
  g = fmaf(p.l2, w, g * p.grad_scale);
  w *= p.decay;
  switch (p.rule) {
    case cpu::UpdateRule::sgd:
      if (p.a.data == nullptr) {
        w = fmaf(-p.lr, g, w);
      } else {
        a = p.first ? g : fmaf(p.one_minus_beta1, g, p.beta1 * a);
        w = fmaf(-p.lr, p.nesterov ? fmaf(p.beta1, a, g) : a, w);
      }
      break;
    case cpu::UpdateRule::adamw:
      a = fmaf(p.one_minus_beta1, g - a, a);
      b = fmaf(p.one_minus_beta2 * g, g, p.beta2 * b);
      w -= p.lr * a / (sqrtf(b) / p.correction + p.eps);
      break;
    case cpu::UpdateRule::lion: {
      const float direction = fmaf(p.one_minus_beta1, g, p.beta1 * a);
      w -= direction > 0.0f ? p.lr : direction < 0.0f ? -p.lr : 0.0f;
      a = fmaf(p.one_minus_beta2, g, p.beta2 * a);
      break;
    }
    case cpu::UpdateRule::adagrad:
      a = fmaf(g, g, a);
      w -= p.lr * g / (sqrtf(a) + p.eps);
      break;
    case cpu::UpdateRule::rmsprop: {
      a = fmaf(p.one_minus_beta2 * g, g, p.beta2 * a);
      const float step = g / (sqrtf(a) + p.eps);
      if (p.b.data != nullptr) b = fmaf(p.beta1, b, step);
      w = fmaf(-p.lr, p.b.data != nullptr ? b : step, w);
      break;
    }
  }
}

/// kWidth numbers of an array from `i` on, of a type known when the kernel runs: so the rules stand in the code once.
template <int kWidth>
static __device__ __forceinline__ void load_numbers(const void* from, Element type, std::int64_t i,
                                                    float (&x)[kWidth]) {
  with_element(type, [&](auto tag) { load_elements(static_cast<const decltype(tag)*>(from) + i, x); });
}
template <int kWidth>
static __device__ __forceinline__ void store_numbers(void* to, Element type, std::int64_t i, const float (&x)[kWidth]) {
  with_element(type, [&](auto tag) { store_elements(static_cast<decltype(tag)*>(to) + i, x); });
}

/// kWidth elements from `i` on; `states`: their type.
template <int kWidth>
static __device__ __forceinline__ void update_elements(const cpu::UpdateParams& p, Element states, std::int64_t i) {
  float g[kWidth], w[kWidth], a[kWidth] = {}, b[kWidth] = {};
  load_numbers(p.gradient, p.type, i, g);
  if (p.master != nullptr) {
    load_elements(p.master + i, w);
  } else {
    load_numbers(p.parameter, p.type, i, w);
  }
  if (p.a.data != nullptr) load_numbers(p.a.data, states, i, a);
  if (p.b.data != nullptr) load_numbers(p.b.data, states, i, b);
#pragma unroll
  for (int k = 0; k < kWidth; ++k) update_element(p, g[k], w[k], a[k], b[k]);
  if (p.master != nullptr) store_elements(p.master + i, w);
  if (p.parameter != nullptr) store_numbers(p.parameter, p.type, i, w);
  if (p.a.data != nullptr) store_numbers(p.a.data, states, i, a);
  if (p.b.data != nullptr) store_numbers(p.b.data, states, i, b);
}

static __device__ __forceinline__ void update_chunk(const cpu::UpdateParams& p, Element states, std::int64_t begin,
                                                    std::int64_t end) {
  const bool wide = on_16_bytes(p.gradient) && on_16_bytes(p.parameter) && on_16_bytes(p.master) &&
                    on_16_bytes(p.a.data) && on_16_bytes(p.b.data);
  const std::int64_t whole = wide ? begin + (end - begin) / kUpdateWidth * kUpdateWidth : begin;
  for (std::int64_t i = begin + threadIdx.x * kUpdateWidth; i < whole; i += kUpdateThreads * kUpdateWidth)
    update_elements<kUpdateWidth>(p, states, i);
  for (std::int64_t i = whole + threadIdx.x; i < end; i += kUpdateThreads) update_elements<1>(p, states, i);
}

/// What a block's chunk is of.
struct UpdateChunk {
  const UpdateItem* item;
  std::int64_t begin, end;
};

static __device__ __forceinline__ UpdateChunk chunk_of(const UpdateTable& table) {
  const std::int64_t chunk = blockIdx.x;
  const UpdateItem& item = item_of(table, chunk);
  const std::int64_t begin = (chunk - item.first_chunk) * kUpdateChunk;
  return {&item, begin, begin + kUpdateChunk < item.elements ? begin + kUpdateChunk : item.elements};
}

/// A block a chunk.
__global__ void __launch_bounds__(kUpdateThreads) optimizer_update_kernel(const UpdateTable table) {
  const UpdateChunk chunk = chunk_of(table);
  const cpu::UpdateParams params = chunk.item->params;
  const bool wide_states = params.a.data == nullptr || params.a.type == Element::f32;
  update_chunk(params, wide_states ? Element::f32 : params.type, chunk.begin, chunk.end);
}

template <int kWidth, typename T>
static __device__ __forceinline__ double squares_of(const T* from) {
  float x[kWidth];
  load_elements(from, x);
  double sum = 0;
#pragma unroll
  for (int k = 0; k < kWidth; ++k) sum += static_cast<double>(x[k]) * static_cast<double>(x[k]);
  return sum;
}

/// The sum of all threads' values, in the first one: the same order in each run.
static __device__ __forceinline__ double block_sum(double value) {
  auto* const scratch = reinterpret_cast<double*>(shared_memory());
  scratch[threadIdx.x] = value;
  for (unsigned half = kUpdateThreads / 2; half > 0; half /= 2) {
    sync_block();
    if (threadIdx.x < half) scratch[threadIdx.x] += scratch[threadIdx.x + half];
  }
  return scratch[0];
}

/// A block a chunk.
__global__ void __launch_bounds__(kUpdateThreads) chunk_squares_kernel(const SumSquaresParams params) {
  const UpdateChunk chunk = chunk_of(params.table);
  const void* const gradient = chunk.item->params.gradient;
  double sum = 0;
  with_element(chunk.item->params.type, [&](auto tag) {
    const auto* const from = static_cast<const decltype(tag)*>(gradient);
    const std::int64_t whole =
        on_16_bytes(gradient) ? chunk.begin + (chunk.end - chunk.begin) / kUpdateWidth * kUpdateWidth : chunk.begin;
    for (std::int64_t i = chunk.begin + threadIdx.x * kUpdateWidth; i < whole; i += kUpdateThreads * kUpdateWidth)
      sum += squares_of<kUpdateWidth>(from + i);
    for (std::int64_t i = whole + threadIdx.x; i < chunk.end; i += kUpdateThreads) sum += squares_of<1>(from + i);
  });
  sum = block_sum(sum);
  if (threadIdx.x == 0) params.parts[blockIdx.x] = sum;
}

/// A block an item.
__global__ void __launch_bounds__(kUpdateThreads) item_squares_kernel(const SumSquaresParams params) {
  const UpdateItem& item = params.table.items[blockIdx.x];
  const std::int64_t end = item.first_chunk + (item.elements + kUpdateChunk - 1) / kUpdateChunk;
  double sum = 0;
  for (std::int64_t chunk = item.first_chunk + threadIdx.x; chunk < end; chunk += kUpdateThreads)
    sum += params.parts[chunk];
  sum = block_sum(sum);
  if (threadIdx.x == 0) params.sums[blockIdx.x] = sum;
}

template <typename Launch>
void launch_optimizer_update(const Launch& launch, const UpdateTable& table) {
  launch(LaunchShape{.grid_x = table.chunks, .block_x = kUpdateThreads}, optimizer_update_kernel, table);
}

template <typename Launch>
void launch_sum_squares(const Launch& launch, const SumSquaresParams& p) {
  const auto shape = [](std::int64_t blocks) {
    return LaunchShape{.grid_x = blocks, .block_x = kUpdateThreads, .shared_bytes = kUpdateThreads * 8};
  };
  launch(shape(p.table.chunks), chunk_squares_kernel, p);
  launch(shape(p.table.count), item_squares_kernel, p);
}

}  // namespace powerhouse::cuda
