// What sampling and scoring do to a row of logits: argmax, softmax, log-sum-exp, moments, and searches.
#pragma once

#include <math.h>

#include <cstdint>

#include "kernels/cpu/generic/math.h"
#include "kernels/cpu/kernels.h"

namespace powerhouse::cpu::POWERHOUSE_ISA_NAMESPACE {
namespace {

/// The maximum of x; NaN if any value is.
inline float maximum(const float* x, std::int64_t count) {
  constexpr int kChains = 4;  // one would wait for each maximum before the next
  Vec best[kChains];
  for (Vec& chain : best) chain = broadcast(-__builtin_inff());
  unsigned nan = 0;
  const auto take = [&](Vec value, Vec& chain) {
    nan |= nan_mask(value);
    chain = max(value, chain);
  };
  std::int64_t i = 0;
  for (; i + kChains * kWidth <= count; i += kChains * kWidth) {
    for (int chain = 0; chain < kChains; ++chain) take(load(x + i + chain * kWidth), best[chain]);
  }
  for (; i < count; i += kWidth) {
    const int n = lanes(count, i);
    take(keep_first(read(x + i, n), n, -__builtin_inff()), best[0]);
  }
  return nan != 0 ? __builtin_nanf("") : reduce_max(max(max(best[0], best[1]), max(best[2], best[3])));
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

float max_f32(const float* x, std::int64_t count) { return maximum(x, count); }

/// Adds up `kSums` terms of each vector, in float32 over short stretches and float64 over all. term(value, sums) is
/// given -infinity behind the end.
template <int kSums, typename Term>
inline void sum_stretches(const float* x, std::int64_t count, double (&totals)[kSums], Term term) {
  constexpr std::int64_t kStretch = 512;
  for (std::int64_t first = 0; first < count; first += kStretch) {
    Vec sums[kSums];
    for (Vec& sum : sums) sum = zero();
    for (std::int64_t i = first; i < smaller(first + kStretch, count); i += kWidth) {
      const int n = lanes(count, i);
      term(keep_first(read(x + i, n), n, -__builtin_inff()), sums);
    }
    for (int i = 0; i < kSums; ++i) totals[i] += static_cast<double>(reduce_add(sums[i]));
  }
}

Moments moments_f32(const float* x, std::int64_t count, float shift) {
  double totals[3] = {};
  const Vec nothing = broadcast(-__builtin_inff());
  sum_stretches(x, count, totals, [&](Vec value, Vec* sums) {
    const Vec distance = select_less(nothing, value, sub(value, broadcast(shift)), zero());
    sums[0] = add(sums[0], select_less(nothing, value, broadcast(1.0f), zero()));
    sums[1] = add(sums[1], distance);
    sums[2] = fma(distance, distance, sums[2]);
  });
  return {totals[0], totals[1], totals[2]};
}

ExpMoments exp_moments_f32(const float* x, std::int64_t count, float pivot) {
  constexpr float kNoWeight = -1000.0f;  // exp is 0 there, and 0 times it is 0, as with -infinity it is not
  double totals[2] = {};
  sum_stretches(x, count, totals, [&](Vec value, Vec* sums) {
    const Vec distance = max(sub(value, broadcast(pivot)), broadcast(kNoWeight));
    const Vec weight = exp(distance);
    sums[0] = add(sums[0], weight);
    sums[1] = fma(weight, distance, sums[1]);
  });
  return {totals[0], totals[1]};
}

std::int64_t places_at_least_f32(const float* x, std::int64_t count, float bound, std::int32_t* places) {
  std::int64_t found = 0;
  for (std::int64_t i = 0; i < count; i += kWidth) {
    const int n = lanes(count, i);
    const Vec value = keep_first(read(x + i, n), n, -__builtin_inff());
    for (unsigned mask = at_least_mask(value, broadcast(bound)); mask != 0; mask &= mask - 1) {
      places[found++] = static_cast<std::int32_t>(i) + __builtin_ctz(mask);
    }
  }
  return found;
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
