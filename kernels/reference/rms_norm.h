// RMSNorm with an optional residual before it: the definition. Statistics in float64, the roundings of Hugging Face.
#pragma once

#include <cmath>

#include "kernels/cpu/kernels.h"

namespace powerhouse::reference {

static inline void rms_norm(const cpu::RmsNormParams& params, std::int64_t begin, std::int64_t end) {
  for (std::int64_t item = begin; item < end; ++item) {
    const std::int64_t row = item / params.heads;
    const std::int64_t head = item % params.heads;
    const std::int64_t x = row * params.x_stride + head * params.x_head_stride;
    const std::int64_t y = row * params.y_stride + head * params.y_head_stride;
    double squares = 0;
    for (std::int64_t i = 0; i < params.size; ++i) {
      float value = read_element(params.x, params.type, x + i);
      if (params.residual != nullptr) {
        value = round_element(value + read_element(params.residual, params.type, row * params.residual_stride + i),
                              params.type);
        write_element(params.x, params.type, x + i, value);
      }
      squares += static_cast<double>(value) * static_cast<double>(value);
    }
    const auto inverse = static_cast<float>(
        1.0 / std::sqrt(squares / static_cast<double>(params.size) + static_cast<double>(params.epsilon)));
    for (std::int64_t i = 0; i < params.size; ++i) {
      float result = read_element(params.x, params.type, x + i) * inverse;
      if (params.weight != nullptr) {
        const float weight = read_element(params.weight, params.type, head * params.weight_head_stride + i);
        if (!params.round_once && !params.unit_offset) result = round_element(result, params.type);
        result *= params.unit_offset ? 1.0f + weight : weight;
      }
      write_element(params.y, params.type, y + i, result);
    }
  }
}

}  // namespace powerhouse::reference
