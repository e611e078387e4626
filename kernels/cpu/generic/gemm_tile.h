// Weights of any format as a tile that `gemm` multiplies by: for each group of kPack elements, sixteen rows side by
// side.
//
// The tile has the type of the activations: float32 (kPack 1), or bf16 in pairs (kPack 2) as the dot products of
// AVX-512 and AMX read them. What is behind the last element, up to sixteen groups, is zero.
#pragma once

#include <cstdint>

#include "kernels/cpu/generic/bf16_linear.h"
#include "kernels/cpu/generic/packed_linear.h"
#include "kernels/cpu/kernels.h"

namespace powerhouse::cpu::POWERHOUSE_ISA_NAMESPACE {
namespace {

constexpr std::int64_t kTileRows = kPanelRows;

template <typename Lane>
constexpr int kGemmPack = static_cast<int>(sizeof(float) / sizeof(Lane));

/// Elements k and k + 1 of sixteen rows.
inline void store_two(float* to, std::int64_t step, Lanes first, Lanes second) {
  store_lanes(to, first, 16);
  store_lanes(to + step, second, 16);
}
#ifdef POWERHOUSE_DOT_BF16
inline void store_two(bfloat16* to, std::int64_t, Lanes first, Lanes second) { store_pairs(to, first, second); }
#endif

/// A panel's `depth` elements from its unit `panel` on; groups of kPack elements lie `step` elements of Lane apart.
template <typename P, typename Lane>
inline void unpack_panel(const PackedLayout& layout, const std::uint8_t* panel, std::int64_t depth, Lane* tile,
                         std::int64_t step) {
  constexpr int kPack = kGemmPack<Lane>;
  const Lanes offset = lanes_of(static_cast<float>(-offset_of<P>(layout)));
  Bytes levels{};
  if constexpr (P::kTable) levels = load_levels(layout.table);
  const std::int64_t unit = unit_of<P>(layout);
  for (std::int64_t unit_k = 0; unit_k < depth; unit_k += unit) {
    const Lanes d = lanes_f16(panel);
    Lanes m{};
    if constexpr (P::kMin) m = lowest_of<P>(panel, d);
    panel += P::kHeadBytes;
    for (std::int64_t part = 0; part < unit; part += 32) {
      Lanes scale[P::kParts] = {};
      Lanes min[P::kParts] = {};
      for (int g = 0; g < P::kParts; ++g) {
        scale[g] = d;
        min[g] = m;
        if constexpr (P::kTwoLevels) {
          scale[g] = lanes_mul(d, lanes_i8(panel + 16 * g));
          if constexpr (P::kMin) min[g] = lanes_mul(m, lanes_u8(panel + 16 * (P::kParts + g)));
        }
      }
      panel += P::kScaleBytes;
      Bytes quads[8];
      unpack<P>(panel, levels, quads);
      panel += P::kCodeBytes;
      for (int q = 0; q < 8; ++q) {
        const int g = 4 * q / P::kGroup;
        const auto value = [&](auto byte) __attribute__((always_inline)) {
          constexpr int kByte = decltype(byte)::kValue;
          const Lanes level = lanes_add(byte_lanes<kByte>(quads[q]), offset);
          const Lanes scaled = lanes_mul(scale[g], level);
          if constexpr (P::kMin) return lanes_add(scaled, min[g]);
          return scaled;
        };
        store_two(tile, step, value(Count<0>{}), value(Count<1>{}));
        store_two(tile + 2 / kPack * step, step, value(Count<2>{}), value(Count<3>{}));
        tile += 4 / kPack * step;
      }
    }
  }
}

/// Elements [k, k + depth) of a panel of bf16, likewise.
template <typename Lane>
inline void unpack_bf16_panel(const Bf16Panels& matrix, std::int64_t panel, std::int64_t inputs, std::int64_t k,
                              std::int64_t depth, Lane* tile, std::int64_t step) {
  constexpr int kPack = kGemmPack<Lane>;
  const auto* const bases = static_cast<const std::uint8_t*>(matrix.panels) + panel * bf16_panel_bytes(inputs);
  const std::uint8_t* unit = bases + bf16_base_bytes(inputs) + k / kBf16Unit * kBf16UnitBytes;
  for (std::int64_t at = 0; at < depth; at += kBf16Unit, unit += kBf16UnitBytes) {
    Lane* const to = tile + at / kPack * step;
    for_bf16_pairs(unit, bases + (k + at) / kBf16Unit * 16, [&](int pair, Lanes first, Lanes second) {
      store_two(to + 2 / kPack * step * pair, step, first, second);
    });
  }
  for (std::int64_t i = matrix.first_outlier[panel]; i < matrix.first_outlier[panel + 1]; ++i) {
    const std::int64_t at = matrix.outliers[i].place / 16 - k;
    if (at < 0 || at >= depth) continue;
    const std::int64_t row = matrix.outliers[i].place % 16;
    from_float(bf16_value(matrix.outliers[i].bits), tile[at / kPack * step + row * kPack + at % kPack]);
  }
}

/// Elements [k, k + depth) of up to sixteen rows of plain numbers, likewise; rows that are not there are zero.
template <typename T, typename Lane>
inline void turn_rows(const T* weight, std::int64_t stride, std::int64_t rows, std::int64_t depth, Lane* tile,
                      std::int64_t step) {
  constexpr int kPack = kGemmPack<Lane>;
  constexpr int kBlock = 16 * kPack;
  Lane block[kTileRows * kBlock];
  for (std::int64_t k = 0; k < depth; k += kBlock, tile += 16 * step) {
    const std::int64_t count = smaller(depth - k, kBlock);
    for (std::int64_t row = 0; row < kTileRows; ++row) {
      Lane* const to = block + row * kBlock;
      const T* const from = weight + row * stride + k;
      const std::int64_t there = row < rows ? count : 0;
      std::int64_t i = 0;
      for (; i + kWidth <= there; i += kWidth) store(to + i, load(from + i));
      for (; i < there; ++i) from_float(to_float(from[i]), to[i]);
      for (; i < kBlock; ++i) from_float(0.0f, to[i]);
    }
    turn_words(block, tile, step * static_cast<std::int64_t>(sizeof(Lane)));
  }
}

}  // namespace
}  // namespace powerhouse::cpu::POWERHOUSE_ISA_NAMESPACE
