#include "kernels/reference/packed_words.h"

#include <cstring>

#include "kernels/reference/words.h"

namespace powerhouse {
namespace {

using u8 = std::uint8_t;
using u32 = std::uint32_t;

constexpr u32 kLow = 0x0F0F0F0F;
constexpr std::int64_t kVector = 64;  // bytes of a panel's vector: a word of each row

// Sixteen bytes of elements i and i + 16 become the vectors of elements 8 i to 8 i + 7.
void put_nibbles(const u8* from, u8* to) {
  for (int i = 0; i < 2; ++i) {
    const u32 first = load_word(from + 8 * i);
    const u32 second = load_word(from + 8 * i + 4);
    store_word(to + kVector * i, (first & kLow) | (second & kLow) << 4);
    store_word(to + kVector * (i + 2), (first >> 4 & kLow) | (second & ~kLow));
  }
}

// Bit 4 q + e of the block is bit q of byte e: four bits at a time are spread over the bytes of a word.
void put_fifth_bits(const u8* from, u8* to) {
  const u32 bits = load_word(from);
  u32 word = 0;
  for (int quad = 0; quad < 8; ++quad) word |= ((bits >> 4 * quad & 15) * 0x00204081u & 0x01010101u) << quad;
  store_word(to, word);
}

// Value + 128.
void put_bytes(const u8* from, u8* to) {
  for (int quad = 0; quad < 8; ++quad) store_word(to + kVector * quad, load_word(from + 4 * quad) ^ 0x80808080u);
}

// Whole numbers with a scale and a zero.
template <int kBits>
void pack_affine(const void* const* rows, std::int64_t inputs, std::int64_t unit_elements, u8* panel) {
  static constexpr u8 kZeros[4 * kBits] = {};
  for (std::int64_t row = 0; row < kPanelRows; ++row) {
    const bool there = rows[row] != nullptr;
    const u8* from = there ? static_cast<const u8*>(rows[row]) : kZeros;
    u8* unit = panel;
    for (std::int64_t k = 0; k < inputs; k += unit_elements) {
      std::memcpy(unit + 2 * row, from, 2);
      std::memcpy(unit + 32 + 2 * row, from + 2, 2);
      from += there ? 4 : 0;
      unit += 64;
      for (std::int64_t part = 0; part < unit_elements; part += 32, unit += kVector * kBits) {
        u8* const to = unit + 4 * row;
        if constexpr (kBits == 8) {
          put_bytes(from, to);
        } else {
          put_nibbles(from, to);
          for (int i = 0; kBits == 6 && i < 2; ++i) store_word(to + kVector * (4 + i), load_word(from + 16 + 4 * i));
        }
        from += there ? 4 * kBits : 0;
      }
    }
  }
}

// Rows are taken one behind the other, as they lie in the file: twice as fast as a block of each of the sixteen. kBits
// and kMin are the layout's, known here, so that a block is a few dozen instructions without a branch.
template <int kBits, bool kMin>
void pack(const void* const* rows, std::int64_t inputs, u8* panel) {
  constexpr std::int64_t kHead = kMin ? 4 : 2;  // bytes of a block before its codes
  constexpr std::int64_t kBlock = kHead + 4 * kBits;
  constexpr std::int64_t kUnitHead = kMin ? 64 : 32;
  static constexpr u8 kZeros[kBlock] = {};
  for (std::int64_t row = 0; row < kPanelRows; ++row) {
    const u8* from = rows[row] == nullptr ? kZeros : static_cast<const u8*>(rows[row]);
    const std::int64_t step = rows[row] == nullptr ? 0 : kBlock;
    u8* unit = panel;
    for (std::int64_t k = 0; k < inputs; k += 32, from += step, unit += kUnitHead + kVector * kBits) {
      std::memcpy(unit + 2 * row, from, 2);
      if constexpr (kMin) std::memcpy(unit + 32 + 2 * row, from + 2, 2);
      u8* const to = unit + kUnitHead + 4 * row;
      if constexpr (kBits == 8) {
        put_bytes(from + kHead, to);
      } else {
        put_nibbles(from + kHead + (kBits == 5 ? 4 : 0), to);
        if constexpr (kBits == 5) put_fifth_bits(from + kHead, to + 4 * kVector);
      }
    }
  }
}

}  // namespace

void pack_words(const PackedLayout& layout, const void* const* rows, std::int64_t inputs, void* panel) noexcept {
  u8* const to = static_cast<u8*>(panel);
  if (layout.zero_point) {
    switch (layout.code_bits) {
      case 4: return pack_affine<4>(rows, inputs, layout.unit, to);
      case 6: return pack_affine<6>(rows, inputs, layout.unit, to);
      default: return pack_affine<8>(rows, inputs, layout.unit, to);
    }
  }
  switch (layout.code_bits) {
    case 4: return layout.has_min ? pack<4, true>(rows, inputs, to) : pack<4, false>(rows, inputs, to);
    case 5: return layout.has_min ? pack<5, true>(rows, inputs, to) : pack<5, false>(rows, inputs, to);
    default: return pack<8, false>(rows, inputs, to);
  }
}

}  // namespace powerhouse
