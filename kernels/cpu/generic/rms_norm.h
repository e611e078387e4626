// RMSNorm (Zhang and Sennrich 2019) by rows, with the residual addition that precedes it in a decoder.
//
// Two passes over a row that stays in cache. The sum of squares runs through four accumulators in a fixed order.
#pragma once

#include <cstdint>

#include "kernels/cpu/generic/math.h"
#include "kernels/cpu/kernels.h"

namespace powerhouse::cpu::POWERHOUSE_ISA_NAMESPACE {
namespace {

/// Adds the residual where there is one, and returns the sum of squares.
template <typename T>
inline float add_and_square(T* x, const T* residual, std::int64_t size) {
  Vec sum[4] = {zero(), zero(), zero(), zero()};
  int turn = 0;
  for (std::int64_t i = 0; i < size; i += kWidth, turn = (turn + 1) % 4) {
    const int count = lanes(size, i);
    Vec value = read(x + i, count);
    if (residual != nullptr) {
      value = round_to<T>(add(value, read(residual + i, count)));
      write(x + i, value, count);
    }
    sum[turn] = fma(value, value, sum[turn]);
  }
  return reduce_add(add(add(sum[0], sum[1]), add(sum[2], sum[3])));
}

template <typename T>
inline void rms_norm_row(const RmsNormParams& params, std::int64_t row) {
  T* const x = static_cast<T*>(params.x) + row * params.x_stride;
  const T* const residual =
      params.residual == nullptr ? nullptr : static_cast<const T*>(params.residual) + row * params.residual_stride;
  const T* const weight = static_cast<const T*>(params.weight);
  T* const y = static_cast<T*>(params.y) + row * params.y_stride;
  const float mean = add_and_square(x, residual, params.size) / static_cast<float>(params.size);
  const Vec inverse = broadcast(1.0f / __builtin_sqrtf(mean + params.epsilon));
  for (std::int64_t i = 0; i < params.size; i += kWidth) {
    const int count = lanes(params.size, i);
    const Vec normal = mul(read(x + i, count), inverse);
    const Vec w = read(weight + i, count);
    const Vec result = params.unit_offset ? mul(normal, add(broadcast(1.0f), w)) : mul(round_to<T>(normal), w);
    write(y + i, result, count);
  }
}

void rms_norm(const RmsNormParams& params, std::int64_t begin, std::int64_t end) {
  visit(params.type, [&](auto tag) {
    for (std::int64_t row = begin; row < end; ++row) rms_norm_row<typename decltype(tag)::Type>(params, row);
  });
}

}  // namespace
}  // namespace powerhouse::cpu::POWERHOUSE_ISA_NAMESPACE
