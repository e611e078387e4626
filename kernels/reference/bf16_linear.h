// Products of bf16 panels: the definition, summed in float64.
#pragma once

#include <algorithm>
#include <vector>

#include "kernels/cpu/kernels.h"
#include "kernels/reference/packed_bf16.h"

namespace powerhouse::reference {

static inline void bf16_linear(const cpu::Bf16LinearParams& params, std::int64_t begin, std::int64_t end) {
  std::vector<std::uint16_t> weight(static_cast<std::size_t>(params.inputs));
  for (std::int64_t n = begin * kPanelRows; n < std::min(end * kPanelRows, params.outputs); ++n) {
    unpack_bf16_row(params.weight, n / kPanelRows, n % kPanelRows, params.inputs, weight.data());
    for (std::int64_t m = 0; m < params.rows; ++m) {
      double sum = params.bias != nullptr ? static_cast<double>(params.bias[n]) : 0.0;
      for (std::int64_t k = 0; k < params.inputs; ++k) {
        sum += static_cast<double>(to_float(bfloat16{weight[static_cast<std::size_t>(k)]})) *
               static_cast<double>(params.x[m * params.x_stride + k]);
      }
      params.y[m * params.y_stride + n] = static_cast<float>(sum);
    }
  }
}

}  // namespace powerhouse::reference
