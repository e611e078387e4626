// y = x W^T + b, W in panels of sixteen features, x in 16-bit codes (kernels/common/packed.h).
//
// A lane is a feature: nothing is summed across lanes, and scales lie as the lanes need them. A panel is read once, in
// order, for up to kBlockRows rows of x, whose sums stand in the first-level cache: to unpack 32 elements costs as much
// as to multiply them with two or three rows. Each row takes the same steps whatever stands beside it.
#pragma once

#include <cstdint>
#include <type_traits>

#include "kernels/cpu/generic/math.h"
#include "kernels/cpu/kernels.h"

namespace powerhouse::cpu::POWERHOUSE_ISA_NAMESPACE {
namespace {

constexpr std::int64_t kBlockRows = 16;

/// What the compiler must know of a layout.
template <int kBits_, int kGroup_, bool kTwoLevels_, bool kMin_, bool kTable_, bool kZero_ = false>
struct Packing {
  static constexpr int kBits = kBits_;
  static constexpr int kGroup = kGroup_;
  static constexpr bool kTwoLevels = kTwoLevels_;
  static constexpr bool kMin = kMin_;
  static constexpr bool kTable = kTable_;
  static constexpr bool kZero = kZero_;  // units of as many elements as the layout says
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

/// What codes, as unpack() gives them, are above what they stand for.
template <typename P>
inline std::int32_t offset_of(const PackedLayout& layout) {
  return P::kTable ? kLevelShift : layout.offset;
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
    for (int q = 0; q < 8; ++q) quads[q] = load_bytes(from + 64 * q);
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

/// The codes of a row with the sixteen features of a panel. Two sums, as one would be a chain of sixteen instructions,
/// and a processor's scheduler has no room to look behind several of those.
template <typename P>
inline Sums dot_group(Sums even, const Bytes* words, const std::int16_t* x, int g) {
  Sums odd = sums_of(0);
  for (int w = g * P::kGroup / 2; w < (g + 1) * P::kGroup / 2; w += 2) {
    even = dot(even, words[w], x + 2 * w);
    odd = dot(odd, words[w + 1], x + 2 * w + 2);
  }
  return sums_add(even, odd);
}

/// Rows of x against one panel, added to `total`, one for each row.
template <typename P, typename Rows>
inline void packed_rows(const PackedLinearParams& params, const std::uint8_t* panel, std::int64_t m, Rows rows,
                        Lanes* total) {
  const QuantizedRows first = params.x.from(m);
  const std::int64_t part_stride = first.stride / 32;
  const std::int32_t offset = offset_of<P>(*params.layout);
  Bytes levels{};
  if constexpr (P::kTable) levels = load_levels(params.layout->table);
  Lanes scaled[P::kTwoLevels ? kBlockRows : 1];
  Lanes lowest[P::kTwoLevels ? kBlockRows : 1];

  const std::int64_t unit = unit_of<P>(*params.layout);
  for (std::int64_t unit_k = 0; unit_k < params.inputs; unit_k += unit) {
    const Lanes d = lanes_f16(panel);
    Lanes m_of{};
    if constexpr (P::kMin) m_of = lowest_of<P>(panel, d);
    panel += P::kHeadBytes;
    if constexpr (P::kTwoLevels) {
      for (int r = 0; r < rows; ++r) scaled[r] = lowest[r] = lanes_of(0.0f);
    }

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
      Bytes words[16];
      unpack<P>(panel, levels, quads);
      for (int q = 0; q < 8; ++q) words[2 * q] = even_bytes(quads[q]), words[2 * q + 1] = odd_bytes(quads[q]);
      prefetch_weights<P::kCodeBytes>(panel);
      panel += P::kCodeBytes;

      const std::int16_t* x = first.codes + k;
      const float* x_scale = first.scales + k / 32;
      const float* x_total = first.totals + k / 32;
      const std::int32_t* x_sums = first.sums + k / 16;
      for (int r = 0; r < rows; ++r) {
        const auto start = [&](int g) {
          if constexpr (P::kMin && !P::kZero) return sums_of(0);  // no offset
          return sums_of(-offset * (P::kParts == 1 ? x_sums[0] + x_sums[1] : x_sums[g]));
        };
        if constexpr (P::kTwoLevels) {
          Lanes product{};
          for (int g = 0; g < P::kParts; ++g) {
            const Lanes codes = to_lanes(dot_group<P>(start(g), words, x, g));
            product = g == 0 ? lanes_mul(codes, scale[g]) : lanes_fma(codes, scale[g], product);
            if constexpr (P::kMin) {
              const float sum = P::kParts == 1 ? *x_total : *x_scale * static_cast<float>(x_sums[g]);
              lowest[r] = lanes_fma(min[g], lanes_of(sum), lowest[r]);
            }
          }
          scaled[r] = lanes_fma(product, lanes_of(*x_scale), scaled[r]);
        } else {
          const Lanes codes = to_lanes(dot_group<P>(start(0), words, x, 0));
          Lanes sum = total[r];
          if constexpr (P::kMin) sum = lanes_fma(m_of, lanes_of(*x_total), sum);
          total[r] = lanes_fma(lanes_mul(codes, lanes_of(*x_scale)), d, sum);
        }
        x += first.stride;
        x_scale += part_stride;
        x_total += part_stride;
        x_sums += 2 * part_stride;
      }
    }
    if constexpr (P::kTwoLevels) {
      for (int r = 0; r < rows; ++r) {
        total[r] = lanes_fma(scaled[r], d, total[r]);
        if constexpr (P::kMin) total[r] = lanes_fma(lowest[r], m_of, total[r]);
      }
    }
  }
}

template <typename P>
inline void packed_block(const PackedLinearParams& params, std::int64_t panel, std::int64_t m, int rows) {
  const std::int64_t n = panel * kPanelRows;
  const auto count = static_cast<int>(smaller(params.outputs - n, kPanelRows));
  const std::int64_t unit = unit_of<P>(*params.layout);
  const std::int64_t bytes = params.inputs / unit * (P::kHeadBytes + unit / 32 * (P::kScaleBytes + P::kCodeBytes));
  const auto* const weights = static_cast<const std::uint8_t*>(params.panels) + panel * bytes;
  Lanes total[kBlockRows];
  for (int r = 0; r < rows; ++r) total[r] = lanes_of(0.0f);
  if (rows == 1) {
    packed_rows<P>(params, weights, m, std::integral_constant<int, 1>{}, total);
  } else {
    packed_rows<P>(params, weights, m, rows, total);
  }
  for (int r = 0; r < rows; ++r) {
    if (params.bias != nullptr) total[r] = lanes_add(total[r], load_lanes(params.bias + n, count));
    store_lanes(params.y + (m + r) * params.y_stride + n, total[r], count);
  }
}

template <typename P>
inline void packed_panels(const PackedLinearParams& params, std::int64_t begin, std::int64_t end) {
  for (std::int64_t panel = begin; panel < end; ++panel) {
    for (std::int64_t m = 0; m < params.rows; m += kBlockRows) {
      packed_block<P>(params, panel, m, static_cast<int>(smaller(params.rows - m, kBlockRows)));
    }
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
  visit_packing(*params.layout,
                [&](auto packing) { packed_panels<typename decltype(packing)::Type>(params, begin, end); });
}

}  // namespace
}  // namespace powerhouse::cpu::POWERHOUSE_ISA_NAMESPACE
