// y = x W^T + b, W bf16 in panels of sixteen features (kernels/common/packed_bf16.h), x float32: what is read of W is
// three quarters of its bytes, and decoding waits for nothing else. A lane is a feature, even and odd elements are
// summed apart, and what the codes left out comes last. Each row takes the same steps whatever stands beside it.
#pragma once

#include <cstdint>
#include <cstring>

#include "kernels/common/packed_bf16.h"
#include "kernels/cpu/generic/math.h"
#include "kernels/cpu/kernels.h"

namespace powerhouse::cpu::POWERHOUSE_ISA_NAMESPACE {
namespace {

/// Calls op(pair, even elements, odd elements) for the pairs of a unit in order.
template <typename Op>
inline void for_bf16_pairs(const std::uint8_t* unit, const std::uint8_t* bases, Op op) {
  const Bytes base = load_bases(bases);
  const std::uint8_t* const fractions = unit + kBf16Unit * 8;
  for (int i = 0; i < kBf16Unit / 8; ++i) {
    const Bytes codes = load_bytes(unit + 64 * i);
    const auto part = [&](auto at) __attribute__((always_inline)) {
      constexpr int kPart = decltype(at)::kValue;
      const Bytes words = bf16_words<kPart>(fractions + 32 * (4 * i + kPart), codes, base);
      op(4 * i + kPart, even_lanes(words), odd_lanes(words));
    };
    part(Count<0>{});
    part(Count<1>{});
    part(Count<2>{});
    part(Count<3>{});
  }
}

inline float bf16_value(std::uint16_t bits) { return to_float(bfloat16{bits}); }

template <int kRows>
inline void bf16_rows(const Bf16LinearParams& params, std::int64_t panel, std::int64_t m) {
  const auto* const bases =
      static_cast<const std::uint8_t*>(params.weight.panels) + panel * bf16_panel_bytes(params.inputs);
  const std::uint8_t* unit = bases + bf16_base_bytes(params.inputs);
  const float* const x = params.x + m * params.x_stride;
  Lanes even[kRows];
  Lanes odd[kRows];
  for (int r = 0; r < kRows; ++r) even[r] = odd[r] = lanes_of(0.0f);
  for (std::int64_t k = 0; k < params.inputs; k += kBf16Unit, unit += kBf16UnitBytes) {
    prefetch_weights<kBf16UnitBytes>(unit);
    for_bf16_pairs(unit, bases + k / kBf16Unit * 16, [&](int pair, Lanes first, Lanes second) {
      for (int r = 0; r < kRows; ++r) {
        const float* const at = x + r * params.x_stride + k + 2 * pair;
        even[r] = lanes_fma(first, lanes_of(at[0]), even[r]);
        odd[r] = lanes_fma(second, lanes_of(at[1]), odd[r]);
      }
    });
  }
  const std::int64_t n = panel * kPanelRows;
  const int count = static_cast<int>(smaller(params.outputs - n, kPanelRows));
  for (int r = 0; r < kRows; ++r) {
    float total[kPanelRows];
    store_lanes(total, lanes_add(even[r], odd[r]), static_cast<int>(kPanelRows));
    for (std::int64_t i = params.weight.first_outlier[panel]; i < params.weight.first_outlier[panel + 1]; ++i) {
      const Bf16Outlier& outlier = params.weight.outliers[i];
      total[outlier.place % 16] += bf16_value(outlier.bits) * x[r * params.x_stride + outlier.place / 16];
    }
    float* const y = params.y + (m + r) * params.y_stride + n;
    for (int i = 0; i < count; ++i) y[i] = total[i] + (params.bias != nullptr ? params.bias[n + i] : 0.0f);
  }
}

void bf16_linear(const Bf16LinearParams& params, std::int64_t begin, std::int64_t end) {
  for (std::int64_t panel = begin; panel < end; ++panel) {
    std::int64_t m = 0;
    if constexpr (kRegisters == 32) {
      for (; m + 8 <= params.rows; m += 8) bf16_rows<8>(params, panel, m);
    }
    for (; m + 4 <= params.rows; m += 4) bf16_rows<4>(params, panel, m);
    if (m + 2 <= params.rows) bf16_rows<2>(params, panel, m), m += 2;
    if (m < params.rows) bf16_rows<1>(params, panel, m);
  }
}

}  // namespace
}  // namespace powerhouse::cpu::POWERHOUSE_ISA_NAMESPACE
