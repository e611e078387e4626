// LayerNorm by rows: the definition. Statistics in float64; one rounding, as torch.nn.LayerNorm.
#pragma once

#include <cmath>

#include "kernels/cpu/kernels.h"

namespace powerhouse::reference {

static inline void layer_norm(const cpu::LayerNormParams& params, std::int64_t begin, std::int64_t end) {
  const auto size = static_cast<double>(params.size);
  for (std::int64_t item = begin; item < end; ++item) {
    const std::int64_t row = item / params.heads;
    const std::int64_t head = item % params.heads;
    const std::int64_t x = row * params.x_stride + head * params.x_head_stride;
    const std::int64_t y = row * params.y_stride + head * params.y_head_stride;
    double mean = 0;
    for (std::int64_t i = 0; i < params.size; ++i) {
      mean += static_cast<double>(read_element(params.x, params.type, x + i)) / size;
    }
    double variance = 0;
    for (std::int64_t i = 0; i < params.size; ++i) {
      const double distance = static_cast<double>(read_element(params.x, params.type, x + i)) - mean;
      variance += distance * distance / size;
    }
    const double inverse = 1.0 / std::sqrt(variance + static_cast<double>(params.epsilon));
    for (std::int64_t i = 0; i < params.size; ++i) {
      const std::int64_t place = head * params.weight_head_stride + i;
      double value = (static_cast<double>(read_element(params.x, params.type, x + i)) - mean) * inverse;
      if (params.weight != nullptr) value *= static_cast<double>(read_element(params.weight, params.type, place));
      if (params.bias != nullptr) value += static_cast<double>(read_element(params.bias, params.type, place));
      write_element(params.y, params.type, y + i, static_cast<float>(value));
    }
  }
}

}  // namespace powerhouse::reference
