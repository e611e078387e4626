#include "constraints/code_points.h"

#include <algorithm>

#include "support/utf8.h"

namespace powerhouse::constraints {
namespace {

constexpr char32_t kLast = 0x10FFFF;

// Cuts [low, high], all of one length in UTF-8, into ranges whose bytes vary independently.
void split(char32_t low, char32_t high, std::vector<ByteSequence>& out) {
  for (int bits = 6; bits <= 18; bits += 6) {
    const char32_t mask = (char32_t{1} << bits) - 1;
    if ((low & ~mask) == (high & ~mask)) continue;
    if ((low & mask) != 0) {
      split(low, low | mask, out);
      return split((low | mask) + 1, high, out);
    }
    if ((high & mask) != mask) {
      split(low, (high & ~mask) - 1, out);
      return split(high & ~mask, high, out);
    }
  }
  std::string first, last;
  append_utf8(first, low);
  append_utf8(last, high);
  ByteSequence sequence;
  sequence.length = first.size();
  for (std::size_t i = 0; i < first.size(); ++i) {
    sequence.bytes[i] = {static_cast<std::uint8_t>(first[i]), static_cast<std::uint8_t>(last[i])};
  }
  out.push_back(sequence);
}

}  // namespace

CodePoints::CodePoints(std::vector<Range> ranges) {
  std::vector<Range> parts, out;
  for (const Range& range : ranges) {
    const char32_t high = std::min(range.high, kLast);
    if (range.low > high) continue;
    if (range.low < 0xD800) parts.push_back({range.low, std::min<char32_t>(high, 0xD7FF)});
    if (high > 0xDFFF) parts.push_back({std::max<char32_t>(range.low, 0xE000), high});
  }
  std::sort(parts.begin(), parts.end());
  for (const Range& range : parts) {
    if (!out.empty() && range.low <= out.back().high + 1) {
      out.back().high = std::max(out.back().high, range.high);
    } else {
      out.push_back(range);
    }
  }
  if (!out.empty()) ranges_ = std::make_shared<const std::vector<Range>>(std::move(out));
}

CodePoints CodePoints::complement() const {
  std::vector<Range> out;
  char32_t next = 0;
  for (const Range& range : ranges()) {
    if (range.low > next) out.push_back({next, range.low - 1});
    next = range.high + 1;
  }
  if (next <= kLast) out.push_back({next, kLast});
  return CodePoints(std::move(out));
}

CodePoints CodePoints::united(const CodePoints& other) const {
  std::vector<Range> out = ranges();
  out.insert(out.end(), other.ranges().begin(), other.ranges().end());
  return CodePoints(std::move(out));
}

CodePoints CodePoints::intersected(const CodePoints& other) const {
  std::vector<Range> out;
  for (auto a = ranges().begin(), b = other.ranges().begin(); a != ranges().end() && b != other.ranges().end();) {
    const char32_t low = std::max(a->low, b->low), high = std::min(a->high, b->high);
    if (low <= high) out.push_back({low, high});
    (a->high < b->high ? a : b)++;
  }
  return CodePoints(std::move(out));
}

bool CodePoints::contains(char32_t code_point) const {
  const auto after = std::upper_bound(ranges().begin(), ranges().end(), code_point,
                                      [](char32_t c, const Range& range) { return c < range.low; });
  return after != ranges().begin() && code_point <= std::prev(after)->high;
}

std::vector<ByteSequence> utf8_sequences(const CodePoints& set) {
  constexpr char32_t kLengths[] = {0x7F, 0x7FF, 0xFFFF, kLast};
  std::vector<ByteSequence> out;
  for (const CodePoints::Range& range : set.ranges()) {
    char32_t low = range.low;
    for (const char32_t last : kLengths) {
      if (low > last || low > range.high) continue;
      const char32_t high = std::min(last, range.high);
      split(low, high, out);
      low = high + 1;
    }
  }
  return out;
}

}  // namespace powerhouse::constraints
