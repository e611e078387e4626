// y = x W^T + b: the definition, summed in float64.
#pragma once

#include "kernels/cpu/kernels.h"

namespace powerhouse::reference {

static inline void linear(const cpu::LinearParams& params, std::int64_t begin, std::int64_t end) {
  const Element x_type = params.wide_x ? Element::f32 : params.type;
  const Element y_type = params.wide_x ? Element::f32 : params.y_type;
  for (std::int64_t m = 0; m < params.rows; ++m) {
    for (std::int64_t n = begin; n < end; ++n) {
      double sum = 0;
      for (std::int64_t k = 0; k < params.inputs; ++k) {
        sum += static_cast<double>(read_element(params.x, x_type, m * params.x_stride + k)) *
               static_cast<double>(read_element(params.weight, params.type, n * params.weight_stride + k));
      }
      if (params.bias != nullptr) sum += static_cast<double>(read_element(params.bias, params.type, n));
      write_element(params.y, y_type, m * params.y_stride + n, static_cast<float>(sum));
    }
  }
}

}  // namespace powerhouse::reference
