// LayerNorm (Ba, Kiros and Hinton 2016) by rows.
//
// The mean first, then the squares of the distances from it: the difference of two large sums would lose the variance
// of a row far from zero. Both sums run through four accumulators in a fixed order, over a row that stays in cache.
#pragma once

#include <cstdint>

#include "kernels/cpu/generic/math.h"
#include "kernels/cpu/kernels.h"

namespace powerhouse::cpu::POWERHOUSE_ISA_NAMESPACE {
namespace {

/// The mean of (x - center)^2, or of x itself.
template <bool kSquared, typename T>
inline float mean_of(const T* x, float center, std::int64_t size) {
  Vec sum[4] = {zero(), zero(), zero(), zero()};
  int turn = 0;
  for (std::int64_t i = 0; i < size; i += kWidth, turn = (turn + 1) % 4) {
    const int count = lanes(size, i);
    const Vec value = read(x + i, count);
    if constexpr (kSquared) {
      const Vec distance = keep_first(sub(value, broadcast(center)), count, 0.0f);
      sum[turn] = fma(distance, distance, sum[turn]);
    } else {
      sum[turn] = add(value, sum[turn]);
    }
  }
  return reduce_add(add(add(sum[0], sum[1]), add(sum[2], sum[3]))) / static_cast<float>(size);
}

template <typename T>
inline void layer_norm_row(const LayerNormParams& params, std::int64_t item) {
  const std::int64_t row = item / params.heads;
  const std::int64_t head = item % params.heads;
  const T* const x = static_cast<const T*>(params.x) + row * params.x_stride + head * params.x_head_stride;
  T* const y = static_cast<T*>(params.y) + row * params.y_stride + head * params.y_head_stride;
  const std::int64_t shift = head * params.weight_head_stride;
  const T* const weight = params.weight == nullptr ? nullptr : static_cast<const T*>(params.weight) + shift;
  const T* const bias = params.bias == nullptr ? nullptr : static_cast<const T*>(params.bias) + shift;
  const float mean = mean_of<false>(x, 0.0f, params.size);
  const float variance = mean_of<true>(x, mean, params.size);
  const Vec inverse = broadcast(1.0f / __builtin_sqrtf(variance + params.epsilon));
  for (std::int64_t i = 0; i < params.size; i += kWidth) {
    const int count = lanes(params.size, i);
    Vec result = mul(sub(read(x + i, count), broadcast(mean)), inverse);
    if (weight != nullptr) result = mul(result, read(weight + i, count));
    if (bias != nullptr) result = add(result, read(bias + i, count));
    write(y + i, result, count);
  }
}

void layer_norm(const LayerNormParams& params, std::int64_t begin, std::int64_t end) {
  visit(params.type, [&](auto tag) {
    for (std::int64_t item = begin; item < end; ++item) layer_norm_row<typename decltype(tag)::Type>(params, item);
  });
}

}  // namespace
}  // namespace powerhouse::cpu::POWERHOUSE_ISA_NAMESPACE
