// Products of many rows: the definition, each weight rounded to x's type, summed in float64.
#pragma once

#include <algorithm>
#include <vector>

#include "kernels/cpu/kernels.h"
#include "kernels/reference/packed.h"

namespace powerhouse::reference {

static inline void gemm(const cpu::GemmParams& params, std::int64_t begin, std::int64_t end) {
  std::vector<float> weight(static_cast<std::size_t>(params.inputs));
  for (std::int64_t n = begin * kPanelRows; n < std::min(end * kPanelRows, params.outputs); ++n) {
    if (params.layout != nullptr) {
      const char* const panel =
          static_cast<const char*>(params.weight) + n / kPanelRows * panel_bytes(*params.layout, params.inputs);
      unpack_row(*params.layout, panel, n % kPanelRows, params.inputs, weight.data());
    } else {
      for (std::int64_t k = 0; k < params.inputs; ++k) {
        weight[static_cast<std::size_t>(k)] =
            read_element(params.weight, params.weight_type, n * params.weight_stride + k);
      }
    }
    for (float& value : weight) value = round_element(value, params.x_type);
    for (std::int64_t m = 0; m < params.rows; ++m) {
      double sum = params.bias != nullptr ? static_cast<double>(params.bias[n]) : 0.0;
      for (std::int64_t k = 0; k < params.inputs; ++k) {
        sum += static_cast<double>(read_element(params.x, params.x_type, m * params.x_stride + k)) *
               static_cast<double>(weight[static_cast<std::size_t>(k)]);
      }
      params.y[m * params.y_stride + n] = static_cast<float>(sum);
    }
  }
}

}  // namespace powerhouse::reference
