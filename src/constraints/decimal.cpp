#include "constraints/decimal.h"

#include <algorithm>
#include <charconv>

namespace powerhouse::constraints {

Decimal Decimal::of(const Json& number) {
  std::string text;
  if (number.is_integer()) {
    text = std::to_string(number.as_integer());
  } else if (const std::string* digits = number.wide_integer()) {
    text = *digits;
  } else {
    char buffer[400];  // 1e308 has 309 digits, 5e-324 has 326
    const auto end = std::to_chars(buffer, buffer + sizeof(buffer), number.as_double(), std::chars_format::fixed).ptr;
    text.assign(buffer, end);
  }
  Decimal out;
  out.negative = text.starts_with('-');
  if (out.negative) text.erase(0, 1);
  const std::size_t point = std::min(text.find('.'), text.size());
  out.whole = text.substr(0, point);
  out.fraction = point < text.size() ? text.substr(point + 1) : "";
  out.whole.erase(0, std::min(out.whole.find_first_not_of('0'), out.whole.size() - 1));
  out.fraction.erase(out.fraction.find_last_not_of('0') + 1);
  if (out.is_zero()) out.negative = false;
  return out;
}

std::strong_ordering compare(const Decimal& a, const Decimal& b) {
  if (a.negative != b.negative) return a.negative ? std::strong_ordering::less : std::strong_ordering::greater;
  auto order = a.whole.size() <=> b.whole.size();
  if (order == 0) order = a.whole.compare(b.whole) <=> 0;
  if (order == 0) order = a.fraction.compare(b.fraction) <=> 0;  // no trailing zeros: a prefix is less
  return a.negative ? 0 <=> order : order;
}

}  // namespace powerhouse::constraints
