// Gradients of RMSNorm and LayerNorm by rows: the definition, in float64.
#pragma once

#include <cmath>

#include "kernels/cpu/kernels.h"

namespace powerhouse::reference {

static inline void norm_gradient_row(const cpu::NormGradientParams& params, std::int64_t part, std::int64_t row,
                                     std::int64_t head) {
  const std::int64_t weights = head * params.weight_head_stride;
  const std::int64_t shift = params.weight_head_stride == 0 ? 0 : head * params.size;
  const std::int64_t sums = part * params.size * (params.weight_head_stride == 0 ? 1 : params.heads) + shift;
  const auto size = static_cast<double>(params.size);
  const auto x = [&](std::int64_t i) {
    const std::int64_t at = row * params.x_stride + head * params.x_head_stride + i;
    return static_cast<double>(read_element(params.x, params.type, at));
  };
  const auto dy = [&](std::int64_t i) {
    const std::int64_t at = row * params.dy_stride + head * params.dy_head_stride + i;
    return static_cast<double>(read_element(params.dy, params.type, at));
  };
  const auto g = [&](std::int64_t i) {
    if (params.weight == nullptr) return dy(i);
    const auto weight = static_cast<double>(read_element(params.weight, params.type, weights + i));
    return dy(i) * (params.unit_offset ? 1 + weight : weight);
  };
  double mean = 0;
  for (std::int64_t i = 0; params.centered && i < params.size; ++i) mean += x(i) / size;
  double variance = 0;
  for (std::int64_t i = 0; i < params.size; ++i) variance += (x(i) - mean) * (x(i) - mean) / size;
  const double inverse = 1 / std::sqrt(variance + static_cast<double>(params.epsilon));
  const auto u = [&](std::int64_t i) { return (x(i) - mean) * inverse; };
  double g_mean = 0;
  double along = 0;
  for (std::int64_t i = 0; i < params.size; ++i) {
    if (params.centered) g_mean += g(i) / size;
    along += g(i) * u(i) / size;
  }
  const bool rounded = !params.centered && !params.round_once && !params.unit_offset;
  for (std::int64_t i = 0; i < params.size; ++i) {
    const auto seen = static_cast<float>(u(i));
    const float factor = rounded ? round_element(seen, params.type) : seen;
    if (params.dweight != nullptr) params.dweight[sums + i] += static_cast<float>(dy(i)) * factor;
    if (params.dbias != nullptr) params.dbias[sums + i] += static_cast<float>(dy(i));
  }
  for (std::int64_t i = 0; params.dx != nullptr && i < params.size; ++i) {
    const double value = inverse * (g(i) - g_mean - u(i) * along);
    write_element(params.dx, params.type, row * params.dx_stride + head * params.dx_head_stride + i,
                  static_cast<float>(value));
  }
}

/// dx is not dy here.
static inline void norm_gradient(const cpu::NormGradientParams& params, std::int64_t begin, std::int64_t end) {
  const std::int64_t sums = params.size * (params.weight_head_stride == 0 ? 1 : params.heads);
  for (std::int64_t part = begin; part < end; ++part) {
    for (std::int64_t i = 0; i < sums; ++i) {
      if (params.dweight != nullptr) params.dweight[part * sums + i] = 0;
      if (params.dbias != nullptr) params.dbias[part * sums + i] = 0;
    }
    for (std::int64_t row = part * cpu::kNormRows; row < (part + 1) * cpu::kNormRows && row < params.rows; ++row) {
      for (std::int64_t head = 0; head < params.heads; ++head) norm_gradient_row(params, part, row, head);
    }
  }
}

}  // namespace powerhouse::reference
