// How products read block-quantized matrices: sixteen output rows side by side (a panel), so that one vector register
// holds one number of each row, and codes apart from their scales. Nothing is lost: unpacked values have the bits of
// dequantize_row.
//
// A panel is a run of units of `unit` elements of its sixteen rows. A unit of one level is
//     f16 d[16], f16 m[16] where has_min, codes of 32 elements
// and value = d * (code - offset) + m, or with zero_point d * (code - m), in which case a unit may also have 64 or 128
// elements with their codes one 32 behind the other. A unit of two levels is
//     f16 d[16], f16 m[16] where has_min, then for each 32 elements:
//     i8 scale[32 / group][16], u8 min[32 / group][16] where has_min, codes
// and value = d * scale * (code - offset) + m * min (m as in the file, its sign turned).
// Codes of 32 elements are eight quads: quad q holds elements 4q .. 4q + 3 of each row, 64 bytes, row by row. The low
// four bits of quads 2i and 2i + 1 share the vector i; a fifth bit of quad q is bit q of one more vector, two further
// bits are bits 2 (q % 4) and 2 (q % 4) + 1 of the vector q / 4; eight bits are eight vectors.
#pragma once

#include <cstdint>

#include "kernels/common/blocks.h"

namespace powerhouse {

struct PackedLayout {
  BlockFormat format = BlockFormat::q4_0;
  std::int32_t code_bits = 4;          ///< 4, 5, 6 or 8
  std::int32_t offset = 0;             ///< subtracted from each code
  const std::int8_t* table = nullptr;  ///< the 16 levels that stand for the codes, or null
  std::int32_t unit = 32;              ///< elements that share d
  std::int32_t group = 32;             ///< 16 or 32: elements that share a scale
  bool has_min = false;
  bool zero_point = false;  ///< with has_min: m is subtracted from codes

  constexpr bool two_levels() const { return unit > 32 && !zero_point; }
  constexpr std::int64_t code_bytes() const { return std::int64_t{64} * code_bits; }  // of 32 elements of a panel
  constexpr std::int64_t head_bytes() const { return has_min ? 64 : 32; }
  constexpr std::int64_t scale_bytes() const {  // of 32 elements
    return two_levels() ? std::int64_t{32} / group * (has_min ? 32 : 16) : 0;
  }
  constexpr std::int64_t unit_bytes() const { return head_bytes() + unit / 32 * (scale_bytes() + code_bytes()); }
};

static constexpr std::int64_t kPanelRows = 16;

static constexpr std::int64_t panel_count(std::int64_t rows) { return (rows + kPanelRows - 1) / kPanelRows; }
static constexpr std::int64_t panel_bytes(const PackedLayout& layout, std::int64_t inputs) {
  return inputs / layout.unit * layout.unit_bytes();
}

}  // namespace powerhouse
