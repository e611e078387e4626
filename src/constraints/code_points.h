// CodePoints: a set of Unicode characters as ranges, and the byte sequences that spell it in UTF-8.
//
// Surrogates are no characters: no set holds them, complements included. Copies share their ranges: Unicode's \w has
// more than seven hundred, and a machine a step by it at every turn.
#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

namespace powerhouse::constraints {

class CodePoints {
 public:
  struct Range {
    char32_t low = 0, high = 0;  // both in the set
    auto operator<=>(const Range&) const = default;
  };

  CodePoints() = default;
  CodePoints(std::initializer_list<Range> ranges) : CodePoints(std::vector<Range>(ranges)) {}
  /// Ranges in any order, which may overlap.
  explicit CodePoints(std::vector<Range> ranges);
  static CodePoints all() { return CodePoints().complement(); }
  static CodePoints of(char32_t code_point) { return CodePoints({{code_point, code_point}}); }
  /// All characters for which `holds` is true.
  template <typename Predicate>
  static CodePoints where(Predicate holds) {
    std::vector<Range> ranges;
    for (char32_t c = 0; c <= 0x10FFFF; ++c) {
      if (!holds(c) || (c >= 0xD800 && c <= 0xDFFF)) continue;
      if (!ranges.empty() && ranges.back().high + 1 == c) {
        ranges.back().high = c;
      } else {
        ranges.push_back({c, c});
      }
    }
    return CodePoints(std::move(ranges));
  }

  void add(Range range) { *this = united({range}); }
  CodePoints complement() const;
  CodePoints united(const CodePoints& other) const;
  CodePoints intersected(const CodePoints& other) const;
  CodePoints without(const CodePoints& other) const { return intersected(other.complement()); }

  bool empty() const { return ranges_ == nullptr; }
  bool contains(char32_t code_point) const;
  /// Sorted, apart from each other.
  const std::vector<Range>& ranges() const {
    static const std::vector<Range> kNone;
    return ranges_ ? *ranges_ : kNone;
  }
  bool operator==(const CodePoints& other) const { return ranges_ == other.ranges_ || ranges() == other.ranges(); }

 private:
  std::shared_ptr<const std::vector<Range>> ranges_;  // null where there are none
};

/// One to four ranges of bytes, one behind the other.
struct ByteSequence {
  struct Range {
    std::uint8_t low = 0, high = 0;
  };
  std::array<Range, 4> bytes{};
  std::size_t length = 0;
};

/// The sequences that together spell the set's characters, each exactly once.
std::vector<ByteSequence> utf8_sequences(const CodePoints& set);

}  // namespace powerhouse::constraints
