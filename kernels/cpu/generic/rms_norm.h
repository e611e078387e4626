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

/// Row `item` is head item % heads of row item / heads.
template <typename T>
inline void rms_norm_row(const RmsNormParams& params, std::int64_t item) {
  const std::int64_t row = item / params.heads;
  const std::int64_t head = item % params.heads;
  T* const x = static_cast<T*>(params.x) + row * params.x_stride + head * params.x_head_stride;
  const T* const residual =
      params.residual == nullptr ? nullptr : static_cast<const T*>(params.residual) + row * params.residual_stride;
  const T* const weight =
      params.weight == nullptr ? nullptr : static_cast<const T*>(params.weight) + head * params.weight_head_stride;
  T* const y = static_cast<T*>(params.y) + row * params.y_stride + head * params.y_head_stride;
  const float mean = add_and_square(x, residual, params.size) / static_cast<float>(params.size);
  const Vec inverse = broadcast(1.0f / __builtin_sqrtf(mean + params.epsilon));
  const bool round_once = params.round_once || params.unit_offset;
  for (std::int64_t i = 0; i < params.size; i += kWidth) {
    const int count = lanes(params.size, i);
    Vec result = mul(read(x + i, count), inverse);
    if (weight != nullptr) {
      if (!round_once) result = round_to<T>(result);
      Vec factor = read(weight + i, count);
      if (params.unit_offset) factor = add(factor, broadcast(1.0f));
      result = mul(result, factor);
    }
    write(y + i, result, count);
  }
}

void rms_norm(const RmsNormParams& params, std::int64_t begin, std::int64_t end) {
  visit(params.type, [&](auto tag) {
    for (std::int64_t item = begin; item < end; ++item) rms_norm_row<typename decltype(tag)::Type>(params, item);
  });
}

}  // namespace
}  // namespace powerhouse::cpu::POWERHOUSE_ISA_NAMESPACE
