#include "kernels/reference/packed.h"

#include <cstring>

#include "kernels/common/iq4_levels.h"
#include "kernels/reference/block_parts.h"
#include "kernels/reference/bytes.h"
#include "kernels/reference/packed_words.h"
#include "kernels/reference/words.h"

namespace powerhouse {
namespace {

using u8 = std::uint8_t;
using u32 = std::uint32_t;

constexpr PackedLayout kLayouts[] = {
    {.format = BlockFormat::q4_0, .code_bits = 4, .offset = 8},
    {.format = BlockFormat::q4_1, .code_bits = 4, .has_min = true},
    {.format = BlockFormat::q5_0, .code_bits = 5, .offset = 16},
    {.format = BlockFormat::q5_1, .code_bits = 5, .has_min = true},
    {.format = BlockFormat::q8_0, .code_bits = 8, .offset = 128},
    {.format = BlockFormat::iq4_nl, .code_bits = 4, .table = kIq4Levels},
    {.format = BlockFormat::q2_k, .code_bits = 4, .unit = 256, .group = 16, .has_min = true},
    {.format = BlockFormat::q3_k, .code_bits = 4, .offset = 4, .unit = 256, .group = 16},
    {.format = BlockFormat::q4_k, .code_bits = 4, .unit = 256, .has_min = true},
    {.format = BlockFormat::q5_k, .code_bits = 5, .unit = 256, .has_min = true},
    {.format = BlockFormat::q6_k, .code_bits = 6, .offset = 32, .unit = 256, .group = 16},
    {.format = BlockFormat::iq4_xs, .code_bits = 4, .table = kIq4Levels, .unit = 256},
    {.format = BlockFormat::affine4_32, .code_bits = 4, .has_min = true, .zero_point = true},
    {.format = BlockFormat::affine4_64, .code_bits = 4, .unit = 64, .has_min = true, .zero_point = true},
    {.format = BlockFormat::affine4_128, .code_bits = 4, .unit = 128, .has_min = true, .zero_point = true},
    {.format = BlockFormat::affine6_32, .code_bits = 6, .has_min = true, .zero_point = true},
    {.format = BlockFormat::affine6_64, .code_bits = 6, .unit = 64, .has_min = true, .zero_point = true},
    {.format = BlockFormat::affine6_128, .code_bits = 6, .unit = 128, .has_min = true, .zero_point = true},
    {.format = BlockFormat::affine8_32, .code_bits = 8, .offset = 128, .has_min = true, .zero_point = true},
    {.format = BlockFormat::affine8_64, .code_bits = 8, .offset = 128, .unit = 64, .has_min = true, .zero_point = true},
    {.format = BlockFormat::affine8_128,
     .code_bits = 8,
     .offset = 128,
     .unit = 128,
     .has_min = true,
     .zero_point = true},
};

// Codes of 32 elements of one row into their places among sixteen rows, a quad at a time.
void put_codes(int code_bits, const u8* codes, u8* at) {
  for (int i = 0; i < 4; ++i) {
    store_word(at + 64 * i, (load_word(codes + 8 * i) & 0x0F0F0F0Fu) | (load_word(codes + 8 * i + 4) & 0x0F0F0F0Fu)
                                                                           << 4);
  }
  if (code_bits == 4) return;
  const int high_bits = code_bits - 4;
  const int quads = 8 / high_bits;  // that share a vector of high bits
  const u32 mask = high_bits == 1 ? 0x01010101u : 0x03030303u;
  for (int i = 0; i < high_bits; ++i) {
    u32 high = 0;
    for (int q = 0; q < quads; ++q) high |= (load_word(codes + 4 * (quads * i + q)) >> 4 & mask) << high_bits * q;
    store_word(at + 256 + 64 * i, high);
  }
}

u8 code_at(const PackedLayout& layout, const u8* codes, std::int64_t row, int element) {
  const int quad = element / 4;
  const u8* const at = codes + 4 * row + element % 4;
  if (layout.code_bits == 8) return at[64 * quad];
  const int low = at[64 * (quad / 2)] >> (quad % 2 * 4) & 15;
  if (layout.code_bits == 4) return static_cast<u8>(low);
  const u8* const high = at + 256;
  if (layout.code_bits == 5) return static_cast<u8>(low | (high[0] >> quad & 1) << 4);
  return static_cast<u8>(low | (high[64 * (quad / 4)] >> 2 * (quad % 4) & 3) << 4);
}

}  // namespace

const PackedLayout* packed_layout(BlockFormat format) noexcept {
  for (const PackedLayout& layout : kLayouts) {
    if (layout.format == format) return &layout;
  }
  return nullptr;
}

void pack_panel(const PackedLayout& layout, const void* const* rows, std::int64_t inputs, void* panel) noexcept {
  if (!layout.two_levels()) return pack_words(layout, rows, inputs, panel);
  const BlockInfo info = block_info(layout.format);
  const int groups = 32 / layout.group;
  u8* unit = static_cast<u8*>(panel);
  for (std::int64_t k = 0; k < inputs; k += layout.unit, unit += layout.unit_bytes()) {
    for (std::int64_t row = 0; row < kPanelRows; ++row) {
      BlockParts parts{};
      if (rows[row] != nullptr) {
        split_block(layout.format, static_cast<const u8*>(rows[row]) + k / info.block_elements * info.block_bytes,
                    parts);
      }
      std::memcpy(unit + 2 * row, &parts.d, 2);
      if (layout.has_min) std::memcpy(unit + 32 + 2 * row, &parts.m, 2);
      u8* at = unit + layout.head_bytes();
      for (int part = 0; part < layout.unit / 32; ++part) {
        for (int g = 0; g < groups; ++g) {
          at[16 * g + row] = static_cast<u8>(parts.scales[part * groups + g]);
          if (layout.has_min) at[16 * (groups + g) + row] = parts.mins[part * groups + g];
        }
        at += layout.scale_bytes();
        put_codes(layout.code_bits, parts.codes + 32 * part, at + 4 * row);
        at += layout.code_bytes();
      }
    }
  }
}

void unpack_row(const PackedLayout& layout, const void* panel, std::int64_t row, std::int64_t inputs,
                float* values) noexcept {
  const int groups = 32 / layout.group;
  const u8* unit = static_cast<const u8*>(panel);
  for (std::int64_t k = 0; k < inputs; k += layout.unit, unit += layout.unit_bytes()) {
    const float d = half(unit + 2 * row);
    float m = layout.has_min ? half(unit + 32 + 2 * row) : 0.0f;
    if (layout.zero_point) m = -(d * m);
    const u8* at = unit + layout.head_bytes();
    for (int part = 0; part < layout.unit / 32; ++part) {
      const u8* const scales = at;
      at += layout.scale_bytes();
      for (int i = 0; i < 32; ++i) {
        const int g = i / layout.group;
        float scale = d;
        float min = m;
        if (layout.two_levels()) {
          scale = d * static_cast<float>(static_cast<std::int8_t>(scales[16 * g + row]));
          if (layout.has_min) min = m * static_cast<float>(scales[16 * (groups + g) + row]);
        }
        const int code = code_at(layout, at, row, i);
        const auto level = static_cast<float>(layout.table != nullptr ? layout.table[code] : code - layout.offset);
        values[k + 32 * part + i] = layout.has_min ? scale * level + min : scale * level;
      }
      at += layout.code_bytes();
    }
  }
}

}  // namespace powerhouse
