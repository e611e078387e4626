// Passes over a row of logits and the conversion between element types: the definitions.
#pragma once

#include <cmath>

#include "kernels/cpu/kernels.h"

namespace powerhouse::reference {

static inline void convert(const cpu::ConvertParams& params, std::int64_t begin, std::int64_t end) {
  for (std::int64_t i = begin; i < end; ++i) {
    write_element(params.destination, params.destination_type, i, read_element(params.source, params.source_type, i));
  }
}

static inline cpu::Extremum argmax_f32(const float* x, std::int64_t count) {
  cpu::Extremum best{x[0], 0};
  for (std::int64_t i = 1; i < count && !std::isnan(best.value); ++i) {
    if (x[i] > best.value || std::isnan(x[i])) best = {x[i], i};
  }
  return best;
}

static inline cpu::Moments moments_f32(const float* x, std::int64_t count, float shift) {
  cpu::Moments sums;
  for (std::int64_t i = 0; i < count; ++i) {
    if (x[i] == -INFINITY) continue;
    const double distance = static_cast<double>(x[i]) - static_cast<double>(shift);
    sums.count += 1;
    sums.sum += distance;
    sums.squares += distance * distance;
  }
  return sums;
}

static inline cpu::ExpMoments exp_moments_f32(const float* x, std::int64_t count, float pivot) {
  cpu::ExpMoments sums;
  for (std::int64_t i = 0; i < count; ++i) {
    if (x[i] == -INFINITY) continue;
    const double distance = static_cast<double>(x[i]) - static_cast<double>(pivot);
    sums.sum += std::exp(distance);
    sums.weighted += std::exp(distance) * distance;
  }
  return sums;
}

static inline float log_sum_exp_f32(const float* x, std::int64_t count) {
  const float best = argmax_f32(x, count).value;
  if (!std::isfinite(best)) return best;
  double sum = 0;
  for (std::int64_t i = 0; i < count; ++i) sum += std::exp(static_cast<double>(x[i]) - static_cast<double>(best));
  return static_cast<float>(static_cast<double>(best) + std::log(sum));
}

static inline void softmax_f32(const float* x, float* y, std::int64_t count) {
  const float best = argmax_f32(x, count).value;
  double sum = 0;
  for (std::int64_t i = 0; i < count; ++i) sum += std::exp(static_cast<double>(x[i]) - static_cast<double>(best));
  for (std::int64_t i = 0; i < count; ++i) {
    y[i] = static_cast<float>(std::exp(static_cast<double>(x[i]) - static_cast<double>(best)) / sum);
  }
}

}  // namespace powerhouse::reference
