// How products read bf16 matrices: sixteen output rows side by side (a panel), in three quarters of the bytes.
//
// Of a trained row nearly all exponents of 64 neighbours lie within fifteen steps of the largest: four bits say which.
// The few numbers further down are kept apart, so that nothing is lost. A panel is
//     u8 base[inputs / 64][16], up to a multiple of 64 bytes, then for each 64 elements
//     four bits of exponent, then u8 (sign, seven bits of fraction)
// and the exponent is base + code, or the number zero where the code is 0. Elements 2p and 2p + 1 of each row stand
// together, row by row: pair p of a unit has 32 bytes of signs and fractions, and bits 4 (p % 4) .. of the 32 16-bit
// words of vector p / 4.
#pragma once

#include <cstdint>

namespace powerhouse {

static constexpr std::int64_t kBf16Unit = 64;
static constexpr std::int64_t kBf16UnitBytes = 16 * kBf16Unit * 3 / 2;

static constexpr std::int64_t bf16_base_bytes(std::int64_t inputs) { return (inputs / kBf16Unit * 16 + 63) / 64 * 64; }
static constexpr std::int64_t bf16_panel_bytes(std::int64_t inputs) {
  return bf16_base_bytes(inputs) + inputs / kBf16Unit * kBf16UnitBytes;
}

/// A number too small for its unit's codes; zero stands in its place.
struct Bf16Outlier {
  std::uint32_t place = 0;  ///< element * 16 + row of the panel
  std::uint16_t bits = 0;   ///< the bf16
};

/// All panels of a matrix.
struct Bf16Panels {
  const void* panels = nullptr;  ///< bf16_panel_bytes() apart
  const Bf16Outlier* outliers = nullptr;
  const std::int64_t* first_outlier = nullptr;  ///< [panels + 1]; a panel's own are ordered by place
};

}  // namespace powerhouse
