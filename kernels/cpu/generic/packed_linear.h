// y = x W^T + b, W in panels of sixteen features, x in 8-bit codes (kernels/common/packed.h).
//
// A lane is a feature: nothing is summed across lanes, and scales lie as the lanes need them. A panel is read once, in
// order, for up to kBlockRows rows of x; for more rows it stays in the first-level cache from block to block. Each row
// takes the same steps whatever stands beside it.
#pragma once

#include <cstdint>

#include "kernels/cpu/generic/math.h"
#include "kernels/cpu/kernels.h"

namespace powerhouse::cpu::POWERHOUSE_ISA_NAMESPACE {
namespace {

/// What the compiler must know of a layout.
template <int kBits_, int kGroup_, bool kTwoLevels_, bool kMin_, bool kTable_, bool kZero_ = false>
struct Packing {
  static constexpr int kBits = kBits_;
  static constexpr int kGroup = kGroup_;
  static constexpr bool kTwoLevels = kTwoLevels_;
  static constexpr bool kMin = kMin_;
  static constexpr bool kTable = kTable_;
  static constexpr bool kZero = kZero_;  // units of as many elements as the layout says
  static constexpr bool kWide = kBits == 8 || kTable;
  static constexpr int kUnit = kTwoLevels ? 256 : 32;
  static constexpr int kParts = 32 / kGroup;
  static constexpr int kCodeBytes = 64 * kBits;
  static constexpr int kHeadBytes = kMin ? 64 : 32;
  static constexpr int kScaleBytes = kTwoLevels ? kParts * (kMin ? 32 : 16) : 0;
};

/// Elements of a unit.
template <typename P>
inline std::int64_t unit_of(const PackedLayout& layout) {
  return P::kZero ? std::int64_t{layout.unit} : std::int64_t{P::kUnit};
}

/// What is added to the scaled codes of a unit.
template <typename P>
inline Lanes lowest_of(const std::uint8_t* unit, Lanes d) {
  const Lanes m = lanes_f16(unit + 32);
  return P::kZero ? lanes_mul(lanes_mul(d, lanes_of(-1.0f)), m) : m;
}

/// The eight quads of 32 elements.
template <typename P>
inline void unpack(const std::uint8_t* from, Bytes levels, Bytes* quads) {
  if constexpr (P::kBits == 8) {
    for (int q = 0; q < 8; ++q) quads[q] = wide_codes(load_bytes(from + 64 * q));
  } else {
    for (int i = 0; i < 4; ++i) {
      const Bytes both = load_bytes(from + 64 * i);
      quads[2 * i] = low_nibbles(both);
      quads[2 * i + 1] = high_nibbles(both);
    }
    if constexpr (P::kBits == 5) {
      const Bytes high = load_bytes(from + 256);
      quads[0] = either(quads[0], move_bits<0, 4>(high, 16));
      quads[1] = either(quads[1], move_bits<1, 4>(high, 16));
      quads[2] = either(quads[2], move_bits<2, 4>(high, 16));
      quads[3] = either(quads[3], move_bits<3, 4>(high, 16));
      quads[4] = either(quads[4], move_bits<4, 4>(high, 16));
      quads[5] = either(quads[5], move_bits<5, 4>(high, 16));
      quads[6] = either(quads[6], move_bits<6, 4>(high, 16));
      quads[7] = either(quads[7], move_bits<7, 4>(high, 16));
    }
    if constexpr (P::kBits == 6) {
      for (int i = 0; i < 2; ++i) {
        const Bytes high = load_bytes(from + 256 + 64 * i);
        Bytes* const four = quads + 4 * i;
        four[0] = either(four[0], move_bits<0, 4>(high, 48));
        four[1] = either(four[1], move_bits<2, 4>(high, 48));
        four[2] = either(four[2], move_bits<4, 4>(high, 48));
        four[3] = either(four[3], move_bits<6, 4>(high, 48));
      }
    }
    if constexpr (P::kTable) {
      for (int q = 0; q < 8; ++q) quads[q] = look_up(levels, quads[q]);
    }
  }
}

/// kRows rows of x from row m against one panel; kRests: codes of 15 bits.
template <typename P, int kRows, bool kRests>
inline void packed_rows(const PackedLinearParams& params, const std::uint8_t* panel, std::int64_t m, Lanes* total) {
  const std::int8_t* const x = params.x.codes + m * params.x.stride;
  const std::int8_t* const rests = kRests ? params.x.rests + m * params.x.stride : nullptr;
  const float* const x_scales = params.x.scales + m * (params.x.stride / 32);
  const std::int32_t* const x_sums = params.x.sums + m * (params.x.stride / 16);
  const std::int64_t scale_stride = params.x.stride / 32;
  const std::int64_t sum_stride = params.x.stride / 16;
  const std::int32_t offset = P::kWide ? kWideShift : params.layout->offset;
  Bytes levels{};
  if constexpr (P::kTable) levels = load_levels(params.layout->table);

  for (int r = 0; r < kRows; ++r) total[r] = lanes_of(0.0f);
  const std::int64_t unit = unit_of<P>(*params.layout);
  for (std::int64_t unit_k = 0; unit_k < params.inputs; unit_k += unit) {
    const Lanes d = lanes_f16(panel);
    Lanes m_of{};
    if constexpr (P::kMin) m_of = lowest_of<P>(panel, d);
    panel += P::kHeadBytes;
    Lanes scaled[kRows];
    Lanes lowest[kRows];
    for (int r = 0; r < kRows; ++r) scaled[r] = lowest[r] = lanes_of(0.0f);

    for (std::int64_t k = unit_k; k < unit_k + unit; k += 32) {
      Lanes scale[P::kParts];
      Lanes min[P::kParts];
      if constexpr (P::kTwoLevels) {
        for (int g = 0; g < P::kParts; ++g) {
          scale[g] = lanes_i8(panel + 16 * g);
          if constexpr (P::kMin) min[g] = lanes_u8(panel + 16 * (P::kParts + g));
        }
        panel += P::kScaleBytes;
      }
      Bytes quads[8];
      unpack<P>(panel, levels, quads);
      prefetch_weights<P::kCodeBytes>(panel);
      panel += P::kCodeBytes;

      for (int r = 0; r < kRows; ++r) {
        const std::int8_t* const row = x + r * params.x.stride + k;
        const std::int32_t* const row_sums = x_sums + r * sum_stride + k / 16;
        const float x_scale = x_scales[r * scale_stride + k / 32];
        Lanes product{};
        for (int g = 0; g < P::kParts; ++g) {
          const std::int32_t codes_sum = P::kParts == 1 ? row_sums[0] + row_sums[1] : row_sums[g];
          Sums sums = sums_of(-offset * codes_sum);
          Sums coarse = sums_of(0);
          for (int q = g * P::kGroup / 4; q < (g + 1) * P::kGroup / 4; ++q) {
            if constexpr (kRests) {
              const std::int8_t* const rest = rests + r * params.x.stride + k + 4 * q;
              sums = P::kWide ? dot_wide(sums, quads[q], rest) : dot(sums, quads[q], rest);
              coarse = P::kWide ? dot_wide(coarse, quads[q], row + 4 * q) : dot(coarse, quads[q], row + 4 * q);
            } else {
              sums = P::kWide ? dot_wide(sums, quads[q], row + 4 * q) : dot(sums, quads[q], row + 4 * q);
            }
          }
          if constexpr (kRests) sums = put_together(coarse, sums);
          if constexpr (P::kMin) {
            const Lanes x_sum = lanes_of(x_scale * static_cast<float>(codes_sum));
            lowest[r] = P::kTwoLevels ? lanes_fma(min[g], x_sum, lowest[r]) : lanes_mul(m_of, x_sum);
          }
          if constexpr (!P::kTwoLevels) {
            product = to_lanes(sums);
          } else {
            product = g == 0 ? lanes_mul(to_lanes(sums), scale[g]) : lanes_fma(to_lanes(sums), scale[g], product);
          }
        }
        if constexpr (P::kTwoLevels) {
          scaled[r] = lanes_fma(product, lanes_of(x_scale), scaled[r]);
        } else {
          if constexpr (P::kMin) total[r] = lanes_add(total[r], lowest[r]);
          total[r] = lanes_fma(lanes_mul(product, lanes_of(x_scale)), d, total[r]);
        }
      }
    }
    if constexpr (P::kTwoLevels) {
      for (int r = 0; r < kRows; ++r) {
        total[r] = lanes_fma(scaled[r], d, total[r]);
        if constexpr (P::kMin) total[r] = lanes_fma(lowest[r], m_of, total[r]);
      }
    }
  }
}

template <typename P, int kRows, bool kRests>
inline void packed_block(const PackedLinearParams& params, std::int64_t panel, std::int64_t m) {
  const std::int64_t n = panel * kPanelRows;
  const auto count = static_cast<int>(smaller(params.outputs - n, kPanelRows));
  const std::int64_t unit = unit_of<P>(*params.layout);
  const std::int64_t bytes = params.inputs / unit * (P::kHeadBytes + unit / 32 * (P::kScaleBytes + P::kCodeBytes));
  Lanes total[kRows];
  packed_rows<P, kRows, kRests>(params, static_cast<const std::uint8_t*>(params.panels) + panel * bytes, m, total);
  for (int r = 0; r < kRows; ++r) {
    if (params.bias != nullptr) total[r] = lanes_add(total[r], load_lanes(params.bias + n, count));
    store_lanes(params.y + (m + r) * params.y_stride + n, total[r], count);
  }
}

template <typename P, bool kRests>
inline void packed_panels(const PackedLinearParams& params, std::int64_t begin, std::int64_t end) {
  // Sums of two levels or of two codes, and the unpacked codes of more rows, would leave the registers.
  constexpr int kBlockRows = P::kTwoLevels || kRests || kRegisters < 32 ? 4 : 8;
  for (std::int64_t panel = begin; panel < end; ++panel) {
    std::int64_t m = 0;
    for (; m + kBlockRows <= params.rows; m += kBlockRows) packed_block<P, kBlockRows, kRests>(params, panel, m);
    if constexpr (kBlockRows > 4) {
      if (m + 4 <= params.rows) packed_block<P, 4, kRests>(params, panel, m), m += 4;
    }
    if (m + 2 <= params.rows) packed_block<P, 2, kRests>(params, panel, m), m += 2;
    if (m < params.rows) packed_block<P, 1, kRests>(params, panel, m);
  }
}

/// Calls op(Tag<Packing>) with what the compiler must know of a layout.
template <typename Op>
inline void visit_packing(const PackedLayout& layout, Op op) {
  if (layout.zero_point) {
    switch (layout.code_bits) {
      case 4: return op(Tag<Packing<4, 32, false, true, false, true>>{});
      case 6: return op(Tag<Packing<6, 32, false, true, false, true>>{});
      default: return op(Tag<Packing<8, 32, false, true, false, true>>{});
    }
  }
  const int kind = layout.code_bits * 16 + (layout.group == 16 ? 8 : 0) + (layout.two_levels() ? 4 : 0) +
                   (layout.has_min ? 2 : 0) + (layout.table != nullptr ? 1 : 0);
  switch (kind) {
    case 4 * 16: return op(Tag<Packing<4, 32, false, false, false>>{});            // Q4_0
    case 4 * 16 + 2: return op(Tag<Packing<4, 32, false, true, false>>{});         // Q4_1
    case 5 * 16: return op(Tag<Packing<5, 32, false, false, false>>{});            // Q5_0
    case 5 * 16 + 2: return op(Tag<Packing<5, 32, false, true, false>>{});         // Q5_1
    case 8 * 16: return op(Tag<Packing<8, 32, false, false, false>>{});            // Q8_0
    case 4 * 16 + 1: return op(Tag<Packing<4, 32, false, false, true>>{});         // IQ4_NL
    case 4 * 16 + 8 + 4 + 2: return op(Tag<Packing<4, 16, true, true, false>>{});  // Q2_K
    case 4 * 16 + 8 + 4: return op(Tag<Packing<4, 16, true, false, false>>{});     // Q3_K
    case 4 * 16 + 4 + 2: return op(Tag<Packing<4, 32, true, true, false>>{});      // Q4_K
    case 5 * 16 + 4 + 2: return op(Tag<Packing<5, 32, true, true, false>>{});      // Q5_K
    case 6 * 16 + 8 + 4: return op(Tag<Packing<6, 16, true, false, false>>{});     // Q6_K
    case 4 * 16 + 4 + 1: return op(Tag<Packing<4, 32, true, false, true>>{});      // IQ4_XS
    default: return;
  }
}

void packed_linear(const PackedLinearParams& params, std::int64_t begin, std::int64_t end) {
  visit_packing(*params.layout, [&](auto packing) {
    using P = typename decltype(packing)::Type;
    if (params.x.rests != nullptr) {
      packed_panels<P, true>(params, begin, end);
    } else {
      packed_panels<P, false>(params, begin, end);
    }
  });
}

}  // namespace
}  // namespace powerhouse::cpu::POWERHOUSE_ISA_NAMESPACE
