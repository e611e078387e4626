// Unicode properties of code points, from one generated table (Unicode 16.0; scripts/make_unicode_tables.py).
//
// Text reaches these functions after its UTF-8 has been checked, so that decoding here need not check again.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace powerhouse::unicode {

extern const std::uint16_t kBlockOfCodePoint[8704];
extern const std::uint8_t kBlocks[33664];

/// General categories, in the table's order.
enum Category : std::uint8_t {
  kLu,
  kLl,
  kLt,
  kLm,
  kLo,
  kMn,
  kMc,
  kMe,
  kNd,
  kNl,
  kNo,
  kPc,
  kPd,
  kPs,
  kPe,
  kPi,
  kPf,
  kPo,
  kSm,
  kSc,
  kSk,
  kSo,
  kZs,
  kZl,
  kZp,
  kCc,
  kCf,
  kCs,
  kCo,
  kCn,
};

constexpr std::uint8_t kSpaceBit = 0x20;
constexpr std::uint8_t kWordBit = 0x40;

inline std::uint8_t properties(char32_t code_point) {
  if (code_point > 0x10FFFF) return kCn;
  return kBlocks[kBlockOfCodePoint[code_point >> 7] * 128u + (code_point & 127)];
}

inline Category category(char32_t code_point) { return static_cast<Category>(properties(code_point) & 31); }
inline bool is_letter(char32_t code_point) { return category(code_point) <= kLo; }
inline bool is_number(char32_t code_point) {
  const Category found = category(code_point);
  return found >= kNd && found <= kNo;
}
/// White_Space: what `\s` means in patterns.
inline bool is_space(char32_t code_point) { return (properties(code_point) & kSpaceBit) != 0; }
/// `\w` of UTS 18: alphabetic, marks, decimal digits, connectors, joiners.
inline bool is_word(char32_t code_point) { return (properties(code_point) & kWordBit) != 0; }

/// What the byte-level patterns tell apart: \p{L}, \p{N}, \s and the rest.
enum class Class : std::uint8_t { letter, number, space, other };

inline Class classify(char32_t code_point) {
  const std::uint8_t found = properties(code_point);
  if ((found & kSpaceBit) != 0) return Class::space;
  const std::uint8_t kind = found & 31;
  if (kind <= kLo) return Class::letter;
  return kind >= kNd && kind <= kNo ? Class::number : Class::other;
}

/// The length of the sequence that a lead byte of valid UTF-8 opens.
inline std::size_t sequence_length(char lead) {
  const auto byte = static_cast<unsigned char>(lead);
  return byte < 0x80 ? 1 : byte < 0xE0 ? 2 : byte < 0xF0 ? 3 : 4;
}

struct Character {
  char32_t code_point;
  std::size_t length;
};

/// The character at `text[at]`; the text is valid UTF-8 and `at` a boundary before its end.
inline Character character_at(std::string_view text, std::size_t at) {
  const auto byte = [&](std::size_t i) { return static_cast<char32_t>(static_cast<unsigned char>(text[at + i])); };
  const char32_t first = byte(0);
  if (first < 0x80) return {first, 1};
  if (first < 0xE0) return {(first & 0x1F) << 6 | (byte(1) & 0x3F), 2};
  if (first < 0xF0) return {(first & 0x0F) << 12 | (byte(1) & 0x3F) << 6 | (byte(2) & 0x3F), 3};
  return {(first & 0x07) << 18 | (byte(1) & 0x3F) << 12 | (byte(2) & 0x3F) << 6 | (byte(3) & 0x3F), 4};
}

/// The start of the character that ends at `end` (> 0).
inline std::size_t previous_boundary(std::string_view text, std::size_t end) {
  do {
    --end;
  } while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80);
  return end;
}

}  // namespace powerhouse::unicode
