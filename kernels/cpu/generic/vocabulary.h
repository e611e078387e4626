// What sampling and scoring do to a row of logits: argmax, softmax, log-sum-exp, and the search for bad values.
#pragma once

#include <math.h>

#include <cstdint>

#include "kernels/cpu/generic/math.h"
#include "kernels/cpu/kernels.h"

namespace powerhouse::cpu::POWERHOUSE_ISA_NAMESPACE {
namespace {

/// The maximum of x; NaN if any value is.
inline float maximum(const float* x, std::int64_t count) {
  Vec best = broadcast(-__builtin_inff());
  unsigned nan = 0;
  for (std::int64_t i = 0; i < count; i += kWidth) {
    const int n = lanes(count, i);
    const Vec value = keep_first(read(x + i, n), n, -__builtin_inff());
    nan |= nan_mask(value);
    best = max(value, best);
  }
  return nan != 0 ? __builtin_nanf("") : reduce_max(best);
}

Extremum argmax_f32(const float* x, std::int64_t count) {
  const float best = maximum(x, count);
  const bool nan = best != best;
  for (std::int64_t i = 0; i < count; i += kWidth) {
    const int n = lanes(count, i);
    const Vec value = read(x + i, n);
    const unsigned found = (nan ? nan_mask(value) : equal_mask(value, broadcast(best))) & ((1u << n) - 1u);
    if (found == 0) continue;
    const std::int64_t index = i + __builtin_ctz(found);
    return {x[index], index};
  }
  return {};
}

/// sum(exp(x - pivot)), written to y as well where y is given.
inline float sum_exp(const float* x, float* y, std::int64_t count, float pivot) {
  Vec sum[4] = {zero(), zero(), zero(), zero()};
  int turn = 0;
  for (std::int64_t i = 0; i < count; i += kWidth, turn = (turn + 1) % 4) {
    const int n = lanes(count, i);
    const Vec value = keep_first(exp(sub(read(x + i, n), broadcast(pivot))), n, 0.0f);
    if (y != nullptr) write(y + i, value, n);
    sum[turn] = add(sum[turn], value);
  }
  return reduce_add(add(add(sum[0], sum[1]), add(sum[2], sum[3])));
}

float log_sum_exp_f32(const float* x, std::int64_t count) {
  const float pivot = maximum(x, count);
  if (!__builtin_isfinite(pivot)) return pivot;
  return pivot + ::logf(sum_exp(x, nullptr, count, pivot));
}

void softmax_f32(const float* x, float* y, std::int64_t count) {
  const float pivot = maximum(x, count);
  const float scale = __builtin_isfinite(pivot) ? 1.0f / sum_exp(x, y, count, pivot) : __builtin_nanf("");
  for (std::int64_t i = 0; i < count; i += kWidth) {
    const int n = lanes(count, i);
    const Vec weight = __builtin_isfinite(pivot) ? read(y + i, n) : broadcast(1.0f);
    write(y + i, mul(weight, broadcast(scale)), n);
  }
}

std::int64_t first_not_finite(const void* x, Element type, std::int64_t begin, std::int64_t end) {
  std::int64_t found = -1;
  visit(type, [&](auto tag) {
    const auto* const values = static_cast<const typename decltype(tag)::Type*>(x);
    for (std::int64_t i = begin; i < end && found < 0; i += kWidth) {
      const Vec value = read(values + i, lanes(end, i));
      const unsigned bad = nan_mask(sub(value, value));  // infinity - infinity is NaN too
      if (bad != 0) found = i + __builtin_ctz(bad);
    }
  });
  return found;
}

}  // namespace
}  // namespace powerhouse::cpu::POWERHOUSE_ISA_NAMESPACE
