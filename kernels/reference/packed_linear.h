// Products of panels: the definition, codes as they are, summed in float64.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/cpu/kernels.h"
#include "kernels/reference/packed.h"

namespace powerhouse::reference {

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
      const float steps = out.rests != nullptr ? 32512.0f : 127.0f;
      out.scales[m * (out.stride / 32) + k / 32] = top / steps;
      const float turn = top > 0.0f ? steps / top : 0.0f;
      std::int32_t whole[32];
      for (std::int64_t i = k; i < k + 32; ++i) {
        const float x = read_element(params.x, params.type, m * params.x_stride + i);
        const float value = std::isnan(top) ? 0.0f : std::clamp(std::nearbyint(x * turn), -steps, steps);
        whole[i - k] = static_cast<std::int32_t>(value);
        const auto code = static_cast<std::int32_t>(std::nearbyint(value * (1.0f / 255.0f)));
        out.codes[m * out.stride + i] = static_cast<std::int8_t>(out.rests != nullptr ? code : whole[i - k]);
        if (out.rests != nullptr) out.rests[m * out.stride + i] = static_cast<std::int8_t>(whole[i - k] - 255 * code);
      }
      for (std::int64_t half = 0; half < 32; half += 16) {
        std::int32_t sum = 0;
        for (std::int64_t i = half; i < half + 16; ++i) sum += whole[i];
        out.sums[m * (out.stride / 16) + (k + half) / 16] = sum;
      }
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
        const std::int64_t at = m * params.x.stride + k;
        const int x = params.x.rests != nullptr ? 255 * params.x.codes[at] + params.x.rests[at] : params.x.codes[at];
        sum += scale * x * static_cast<double>(weight[static_cast<std::size_t>(k)]);
      }
      if (params.bias != nullptr) sum += static_cast<double>(params.bias[n]);
      params.y[m * params.y_stride + n] = static_cast<float>(sum);
    }
  }
}

}  // namespace powerhouse::reference
