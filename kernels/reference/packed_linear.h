// Products of panels: the definition, codes as they are, summed in float64.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/cpu/kernels.h"
#include "kernels/reference/packed.h"

namespace powerhouse::reference {

/// Where the code of an element stands in its row.
static inline std::int64_t code_place(std::int64_t element) {
  constexpr std::int64_t kPlaces[4] = {0, 2, 1, 3};
  return element / 4 * 4 + kPlaces[element % 4];
}

static inline void quantize(const cpu::QuantizeParams& params, std::int64_t begin, std::int64_t end) {
  for (std::int64_t m = begin; m < end; ++m) {
    const cpu::QuantizedRows& out = params.out;
    for (std::int64_t k = 0; k < params.size; k += 32) {
      float top = 0.0f;
      for (std::int64_t i = k; i < k + 32; ++i) {
        const float value = std::abs(read_element(params.x, params.type, m * params.x_stride + i));
        top = std::isfinite(value) ? std::max(top, value) : NAN;
        if (std::isnan(top)) break;
      }
      constexpr float kSteps = 32512.0f;
      const std::int64_t block = (m * out.stride + k) / 32;
      out.scales[block] = top / kSteps;
      const float turn = top > 0.0f ? kSteps / top : 0.0f;
      std::int32_t sums[2] = {};
      for (std::int64_t i = k; i < k + 32; ++i) {
        const float x = read_element(params.x, params.type, m * params.x_stride + i);
        const float value = std::isnan(top) ? 0.0f : std::clamp(std::nearbyint(x * turn), -kSteps, kSteps);
        out.codes[m * out.stride + code_place(i)] = static_cast<std::int16_t>(value);
        sums[(i - k) / 16] += static_cast<std::int32_t>(value);
      }
      out.sums[2 * block] = sums[0];
      out.sums[2 * block + 1] = sums[1];
      out.totals[block] = out.scales[block] * static_cast<float>(sums[0] + sums[1]);
    }
  }
}

static inline void packed_linear(const cpu::PackedLinearParams& params, std::int64_t begin, std::int64_t end) {
  const std::int64_t bytes = panel_bytes(*params.layout, params.inputs);
  std::vector<float> weight(static_cast<std::size_t>(params.inputs));
  for (std::int64_t n = begin * kPanelRows; n < std::min(end * kPanelRows, params.outputs); ++n) {
    const char* const panel = static_cast<const char*>(params.panels) + n / kPanelRows * bytes;
    unpack_row(*params.layout, panel, n % kPanelRows, params.inputs, weight.data());
    for (std::int64_t m = 0; m < params.rows; ++m) {
      double sum = 0;
      for (std::int64_t k = 0; k < params.inputs; ++k) {
        const auto scale = static_cast<double>(params.x.scales[m * (params.x.stride / 32) + k / 32]);
        const int x = params.x.codes[m * params.x.stride + code_place(k)];
        sum += scale * x * static_cast<double>(weight[static_cast<std::size_t>(k)]);
      }
      if (params.bias != nullptr) sum += static_cast<double>(params.bias[n]);
      params.y[m * params.y_stride + n] = static_cast<float>(sum);
    }
  }
}

}  // namespace powerhouse::reference
