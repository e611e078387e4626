#include "text/python_unicode.h"

#include <algorithm>
#include <cstdint>
#include <span>

#include "support/utf8.h"
#include "text/python_unicode_tables.h"

namespace powerhouse::python_unicode {
namespace {

bool contains(std::span<const CodePointRange> table, char32_t c) {
  const auto after = std::upper_bound(table.begin(), table.end(), c,
                                      [](char32_t value, const CodePointRange& range) { return value < range.first; });
  return after != table.begin() && c <= std::prev(after)->last;
}

struct CaseTable {
  std::span<const CaseRange> ranges;
  std::span<const CaseExpansion> expansions;
};
const CaseTable kUpperCase{{kToUpper, kToUpperSize}, {kToUpperExpansions, kToUpperExpansionsSize}};
const CaseTable kLowerCase{{kToLower, kToLowerSize}, {kToLowerExpansions, kToLowerExpansionsSize}};
const CaseTable kTitleCase{{kToTitle, kToTitleSize}, {kToTitleExpansions, kToTitleExpansionsSize}};

void append_mapped(std::string& out, const CaseTable& table, char32_t c) {
  const auto range = std::upper_bound(table.ranges.begin(), table.ranges.end(), c,
                                      [](char32_t value, const CaseRange& r) { return value < r.first; });
  if (range != table.ranges.begin()) {
    const CaseRange& found = *std::prev(range);
    if (c <= found.last && (c - found.first) % static_cast<std::uint32_t>(found.stride) == 0) {
      append_utf8(out, static_cast<char32_t>(static_cast<std::int32_t>(c) + found.delta));
      return;
    }
  }
  const auto expansion = std::lower_bound(table.expansions.begin(), table.expansions.end(), c,
                                          [](const CaseExpansion& e, char32_t value) { return e.from < value; });
  if (expansion != table.expansions.end() && expansion->from == c) {
    for (const std::uint32_t to : expansion->to) {
      if (to != 0) append_utf8(out, to);
    }
    return;
  }
  append_utf8(out, c);
}

std::u32string decode(std::string_view text) {
  std::u32string out;
  out.reserve(text.size());
  for (std::size_t at = 0; at < text.size();) {
    const Utf8Step step = decode_utf8(text.substr(at));
    out += step.valid ? step.code_point : U'\uFFFD';
    at += step.length;
  }
  return out;
}

bool ignorable(char32_t c) { return contains({kCaseIgnorable, kCaseIgnorableSize}, c); }
bool cased(char32_t c) { return contains({kCased, kCasedSize}, c); }

// A capital sigma is final where a letter stands before it and none after, marks aside (Unicode 3.13, Final_Sigma).
bool final_sigma(const std::u32string& text, std::size_t at) {
  std::size_t before = at;
  while (before > 0 && ignorable(text[before - 1])) --before;
  if (before == 0 || !cased(text[before - 1])) return false;
  std::size_t after = at + 1;
  while (after < text.size() && ignorable(text[after])) ++after;
  return after == text.size() || !cased(text[after]);
}

void append_lower(std::string& out, const std::u32string& text, std::size_t at) {
  if (text[at] == U'\u03A3') {
    append_utf8(out, final_sigma(text, at) ? U'\u03C2' : U'\u03C3');
  } else {
    append_mapped(out, kLowerCase, text[at]);
  }
}

bool is_ascii(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 0x80; });
}
bool ascii_digit(char32_t c) { return c >= '0' && c <= '9'; }
char ascii_upper(char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c; }
char ascii_lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }

}  // namespace

bool is_space(char32_t c) noexcept {
  return (c >= 0x09 && c <= 0x0D) || (c >= 0x1C && c <= 0x20) || c == 0x85 || c == 0xA0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}
bool is_line_break(char32_t c) noexcept {
  return (c >= 0x0A && c <= 0x0D) || (c >= 0x1C && c <= 0x1E) || c == 0x85 || c == 0x2028 || c == 0x2029;
}
// ASCII, which is most of what is asked, needs no search.
bool is_alphabetic(char32_t c) noexcept {
  if (c < 0x80) return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
  return contains({kAlphabetic, kAlphabeticSize}, c);
}
bool is_decimal(char32_t c) noexcept { return c < 0x80 ? ascii_digit(c) : contains({kDecimal, kDecimalSize}, c); }
bool is_digit(char32_t c) noexcept { return c < 0x80 ? ascii_digit(c) : contains({kDigit, kDigitSize}, c); }
bool is_numeric(char32_t c) noexcept { return c < 0x80 ? ascii_digit(c) : contains({kNumeric, kNumericSize}, c); }
bool is_printable(char32_t c) noexcept {
  return c < 0x80 ? c >= 0x20 && c < 0x7F : !contains({kUnprintable, kUnprintableSize}, c);
}
bool is_upper(char32_t c) noexcept { return c < 0x80 ? c >= 'A' && c <= 'Z' : contains({kUpper, kUpperSize}, c); }
bool is_lower(char32_t c) noexcept { return c < 0x80 ? c >= 'a' && c <= 'z' : contains({kLower, kLowerSize}, c); }
bool is_title(char32_t c) noexcept { return c < 0x80 ? false : contains({kTitle, kTitleSize}, c); }

std::string to_upper(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  if (is_ascii(text)) {
    for (const char c : text) out += ascii_upper(c);
    return out;
  }
  for (const char32_t c : decode(text)) append_mapped(out, kUpperCase, c);
  return out;
}

std::string to_lower(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  if (is_ascii(text)) {
    for (const char c : text) out += ascii_lower(c);
    return out;
  }
  const std::u32string points = decode(text);
  for (std::size_t i = 0; i < points.size(); ++i) append_lower(out, points, i);
  return out;
}

std::string to_title(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  const std::u32string points = decode(text);
  bool inside = false;
  for (std::size_t i = 0; i < points.size(); ++i) {
    if (inside) {
      append_lower(out, points, i);
    } else {
      append_mapped(out, kTitleCase, points[i]);
    }
    inside = cased(points[i]);
  }
  return out;
}

std::string capitalize(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  const std::u32string points = decode(text);
  for (std::size_t i = 0; i < points.size(); ++i) {
    if (i == 0) {
      append_mapped(out, kTitleCase, points[i]);
    } else {
      append_lower(out, points, i);
    }
  }
  return out;
}

}  // namespace powerhouse::python_unicode
