#include "text/json_scanner.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>

#include "powerhouse/error.h"
#include "support/utf8.h"

namespace powerhouse {
namespace {

// Bytes at which skipping has to look: kOutside between strings, kInside within one.
enum Stop : unsigned char { kOutside = 1, kInside = 2 };

constexpr std::array<unsigned char, 256> make_stops() {
  std::array<unsigned char, 256> stops{};
  for (const char bracket : {'{', '[', '}', ']', '"'}) stops[static_cast<unsigned char>(bracket)] |= kOutside;
  for (const char end : {'"', '\\'}) stops[static_cast<unsigned char>(end)] |= kInside;
  return stops;
}
constexpr std::array<unsigned char, 256> kStops = make_stops();

std::size_t skip_to(std::string_view text, std::size_t at, Stop stop) {
  while (at < text.size() && (kStops[static_cast<unsigned char>(text[at])] & stop) == 0) ++at;
  return at;
}

}  // namespace

void JsonScanner::fail(std::string_view what) const {
  throw Error(ErrorKind::format, "invalid JSON: " + std::string(what),
              {.file = origin_, .field = "byte " + std::to_string(base_ + at_)});
}

void JsonScanner::fail_expected(char wanted) const { fail(std::string("expected '") + wanted + "'"); }

std::string_view JsonScanner::string(std::string& storage) {
  expect('"');
  const std::size_t start = at_;
  bool ascii = true;
  while (at_ < text_.size()) {
    const auto c = static_cast<unsigned char>(text_[at_]);
    if (c == '"') {
      const std::string_view plain = text_.substr(start, at_ - start);
      if (!ascii && find_invalid_utf8(plain)) fail("a string is not valid UTF-8");
      ++at_;
      return plain;
    }
    if (c == '\\') {
      storage.assign(text_.substr(start, at_ - start));
      unescape(storage);
      if (find_invalid_utf8(storage)) fail("a string is not valid UTF-8");
      return storage;
    }
    if (c < 0x20) fail("a control character in a string");
    ascii = ascii && c < 0x80;
    ++at_;
  }
  fail("a string without end");
}

// The rest of a string from its first escape on, into `storage`.
void JsonScanner::unescape(std::string& storage) {
  while (at_ < text_.size()) {
    const char c = text_[at_++];
    if (c == '"') return;
    if (static_cast<unsigned char>(c) < 0x20) fail("a control character in a string");
    if (c != '\\') {
      storage += c;
      continue;
    }
    if (at_ == text_.size()) break;
    const char name = text_[at_++];
    switch (name) {
      case '"':
      case '\\':
      case '/': storage += name; break;
      case 'b': storage += '\b'; break;
      case 'f': storage += '\f'; break;
      case 'n': storage += '\n'; break;
      case 'r': storage += '\r'; break;
      case 't': storage += '\t'; break;
      case 'u': {
        char32_t code = hex4();
        if (code >= 0xD800 && code < 0xDC00) {
          if (text_.substr(at_, 2) != "\\u") fail("half a surrogate pair");
          at_ += 2;
          const char32_t low = hex4();
          if (low < 0xDC00 || low > 0xDFFF) fail("half a surrogate pair");
          code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
        } else if (code >= 0xDC00 && code < 0xE000) {
          fail("half a surrogate pair");
        }
        append_utf8(storage, code);
        break;
      }
      default: fail("an unknown escape");
    }
  }
  fail("a string without end");
}

char32_t JsonScanner::hex4() {
  const std::string_view digits = text_.substr(at_, 4);
  std::uint32_t value = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value, 16);
  if (digits.size() != 4 || error != std::errc() || end != digits.data() + 4) fail("\\u without four digits");
  at_ += 4;
  return value;
}

namespace {

// The nearest doubles, which products of tens are not.
double power_of_ten(int exponent) {
  static const auto powers = [] {
    std::array<double, 309> out{};
    for (std::size_t i = 0; i < out.size(); ++i) {
      const std::string spelled = "1e" + std::to_string(i);
      std::from_chars(spelled.data(), spelled.data() + spelled.size(), out[i]);
    }
    return out;
  }();
  return powers[static_cast<std::size_t>(exponent)];
}

// Rust's serde_json takes the digits as one integer, as many as 64 bits hold, and multiplies or divides it by a power
// of ten: quick, and the last place of the double may differ from the nearest one's. `tokenizers` reads scores so.
double as_serde_reads(std::string_view number) {
  constexpr std::uint64_t kMost = std::numeric_limits<std::uint64_t>::max();
  constexpr int kLargestPower = 308;
  std::uint64_t digits = 0;
  int exponent = 0;
  bool fraction = false;
  bool full = false;
  const bool negative = number.starts_with('-');
  if (negative) number.remove_prefix(1);
  while (!number.empty() && number[0] != 'e' && number[0] != 'E') {
    const char c = number[0];
    number.remove_prefix(1);
    if (c == '.') {
      fraction = true;
      continue;
    }
    const auto digit = static_cast<std::uint64_t>(c - '0');
    full = full || digits > (kMost - digit) / 10;
    if (!full) digits = 10 * digits + digit;
    if (full != fraction) exponent += full ? 1 : -1;
  }
  if (!number.empty()) {
    number.remove_prefix(number.size() > 1 && number[1] == '+' ? 2 : 1);
    int given = 0;
    std::from_chars(number.data(), number.data() + number.size(), given);
    exponent += given;
  }
  auto value = static_cast<double>(digits);
  for (; exponent < -kLargestPower && value != 0; exponent += kLargestPower) value /= 1e308;
  exponent = std::min(exponent, kLargestPower);
  if (value != 0) value = exponent < 0 ? value / power_of_ten(-exponent) : value * power_of_ten(exponent);
  return negative ? -value : value;
}

}  // namespace

double JsonScanner::number() {
  const char first = peek();
  const std::size_t digits = at_ + (first == '-' ? 1 : 0);
  const auto is_digit = [&](std::size_t at) { return at < text_.size() && text_[at] >= '0' && text_[at] <= '9'; };
  if (!is_digit(digits)) fail("expected a number");
  if (text_[digits] == '0' && is_digit(digits + 1)) fail("a number with a leading zero");
  double value = 0;
  const auto [end, error] = std::from_chars(text_.data() + at_, text_.data() + text_.size(), value);
  if (error != std::errc()) fail("a number beyond a double's range");
  const std::string_view spelled = text_.substr(at_, static_cast<std::size_t>(end - text_.data()) - at_);
  at_ = static_cast<std::size_t>(end - text_.data());
  return as_serde_reads(spelled);
}

std::int64_t JsonScanner::integer() {
  const char first = peek();
  const std::size_t digits = at_ + (first == '-' ? 1 : 0);
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text_.data() + at_, text_.data() + text_.size(), value);
  if (error != std::errc()) fail("expected an integer");
  const auto next = static_cast<std::size_t>(end - text_.data());
  if (text_[digits] == '0' && next > digits + 1) fail("a number with a leading zero");
  if (next < text_.size() && (text_[next] == '.' || text_[next] == 'e' || text_[next] == 'E'))
    fail("expected an integer");
  at_ = next;
  return value;
}

void JsonScanner::skip_string() {
  at_ = skip_to(text_, at_ + 1, kInside);
  while (at_ < text_.size() && text_[at_] == '\\') at_ = skip_to(text_, at_ + 2, kInside);
  if (at_ >= text_.size()) {
    at_ = text_.size();
    fail("a string without end");
  }
  ++at_;
}

void JsonScanner::skip_value() {
  const char first = peek();
  if (first == '"') return skip_string();
  if (first != '{' && first != '[') {
    const std::size_t start = at_;
    at_ = std::min(text_.find_first_of(",:{}[]\" \n\t\r", at_), text_.size());
    if (at_ == start) fail("a value is missing");
    return;
  }
  // Only strings and brackets tell where the value ends.
  std::size_t depth = 0;
  while ((at_ = skip_to(text_, at_, kOutside)) < text_.size()) {
    if (text_[at_] == '"') {
      skip_string();
      continue;
    }
    const bool opens = text_[at_] == '{' || text_[at_] == '[';
    ++at_;
    if ((opens ? ++depth : --depth) == 0) return;
  }
  fail("the text ends early");
}

}  // namespace powerhouse
