// str() and repr() of jinja_strings.h, and the numbers that Python reads from text.
#include <algorithm>
#include <charconv>
#include <cmath>

#include "support/utf8.h"
#include "text/jinja_ast.h"
#include "text/jinja_loop.h"
#include "text/jinja_operators.h"
#include "text/jinja_strings.h"
#include "text/python_unicode.h"

namespace powerhouse::jinja {
namespace {

void append_hex(TextBuilder& out, char32_t value, int digits) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  for (int i = digits - 1; i >= 0; --i) out.append(kDigits[value >> (4 * i) & 0xF]);
}

void append_quoted(Budget& budget, TextBuilder& out, std::string_view text) {
  budget.step_characters(text.size());
  const bool single = text.find('\'') == std::string_view::npos || text.find('"') != std::string_view::npos;
  const char quote = single ? '\'' : '"';
  out.append(quote);
  for (std::size_t at = 0; at < text.size();) {
    std::size_t plain = at;  // the run of ASCII that needs no escape
    while (plain < text.size() && text[plain] >= ' ' && text[plain] <= '~' && text[plain] != quote &&
           text[plain] != '\\') {
      ++plain;
    }
    out.append(text.substr(at, plain - at));
    at = plain;
    if (at == text.size()) break;
    const Utf8Step step = decode_utf8(text.substr(at));
    const char32_t c = step.code_point;
    if (c == static_cast<char32_t>(quote) || c == '\\') {
      out.append('\\');
      out.append(static_cast<char>(c));
    } else if (c == '\n') {
      out.append("\\n");
    } else if (c == '\r') {
      out.append("\\r");
    } else if (c == '\t') {
      out.append("\\t");
    } else if (python_unicode::is_printable(c)) {
      out.append(text.substr(at, step.length));
    } else if (c < 0x100) {
      out.append("\\x");
      append_hex(out, c, 2);
    } else if (c < 0x10000) {
      out.append("\\u");
      append_hex(out, c, 4);
    } else {
      out.append("\\U");
      append_hex(out, c, 8);
    }
    at += step.length;
  }
  out.append(quote);
}

void append_items(Budget& budget, TextBuilder& out, const Values& items) {
  for (std::size_t i = 0; i < items.size(); ++i) {
    if (i > 0) out.append(", ");
    append_repr(budget, out, items[i]);
  }
}

void append_entries(Budget& budget, TextBuilder& out, const Mapping& mapping) {
  out.append('{');
  bool first = true;
  for (const auto& [key, value] : mapping.entries) {
    if (!first) out.append(", ");
    first = false;
    append_repr(budget, out, key);
    out.append(": ");
    append_repr(budget, out, value);
  }
  out.append('}');
}

void append_view(Budget& budget, TextBuilder& out, const View& view) {
  constexpr std::string_view kNames[] = {"dict_keys([", "dict_values([", "dict_items(["};
  out.append(kNames[static_cast<int>(view.part)]);
  bool first = true;
  for (const auto& [key, value] : static_cast<const Mapping&>(*view.mapping).entries) {
    if (!first) out.append(", ");
    first = false;
    if (view.part == ViewPart::items) out.append('(');
    if (view.part != ViewPart::values) append_repr(budget, out, key);
    if (view.part == ViewPart::items) out.append(", ");
    if (view.part != ViewPart::keys) append_repr(budget, out, value);
    if (view.part == ViewPart::items) out.append(')');
  }
  out.append("])");
}

void append_namespace(Budget& budget, TextBuilder& out, Namespace& space) {
  out.append("<Namespace {");
  for (std::size_t i = 0; i < space.attributes.size(); ++i) {
    if (i > 0) out.append(", ");
    append_quoted(budget, out, space.attributes[i].first);
    out.append(": ");
    append_repr(budget, out, space.attributes[i].second);
  }
  out.append("}>");
}

std::string_view trimmed(std::string_view text) {
  const auto blank = [](char c) { return c == ' ' || (c >= '\t' && c <= '\r') || (c >= '\x1c' && c <= '\x1f'); };
  while (!text.empty() && blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && blank(text.back())) text.remove_suffix(1);
  return text;
}

// Underscores may stand between two digits only.
bool drop_underscores(std::string& digits) {
  std::string out;
  for (std::size_t i = 0; i < digits.size(); ++i) {
    if (digits[i] != '_') {
      out += digits[i];
      continue;
    }
    const auto digit = [](char c) { return std::isxdigit(static_cast<unsigned char>(c)) != 0; };
    if (i == 0 || i + 1 == digits.size() || !digit(digits[i - 1]) || !digit(digits[i + 1])) return false;
  }
  digits = std::move(out);
  return true;
}

int digit_of(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'z') return c - 'a' + 10;
  if (c >= 'A' && c <= 'Z') return c - 'A' + 10;
  return 99;
}

}  // namespace

std::string float_repr(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
  char buffer[64];
  // Shortest digits in scientific form; Python then picks the notation by the exponent.
  const auto done = std::to_chars(buffer, buffer + sizeof buffer, value, std::chars_format::scientific);
  std::string_view text(buffer, static_cast<std::size_t>(done.ptr - buffer));
  std::string out;
  if (text.front() == '-') {
    out += '-';
    text.remove_prefix(1);
  }
  const std::size_t mark = text.find('e');
  int exponent = 0;
  std::string_view power = text.substr(mark + 1);
  if (power.front() == '+') power.remove_prefix(1);
  std::from_chars(power.data(), power.data() + power.size(), exponent);
  std::string digits(text.substr(0, 1));
  if (mark > 2) digits += text.substr(2, mark - 2);
  if (exponent < -4 || exponent >= 16) {
    out += digits[0];
    if (digits.size() > 1) out += '.' + digits.substr(1);
    out += exponent < 0 ? "e-" : "e+";
    const std::string magnitude = std::to_string(std::abs(exponent));
    return out + (magnitude.size() < 2 ? "0" : "") + magnitude;
  }
  if (exponent < 0) return out + "0." + std::string(static_cast<std::size_t>(-exponent - 1), '0') + digits;
  const auto whole = static_cast<std::size_t>(exponent) + 1;
  if (digits.size() <= whole) return out + digits + std::string(whole - digits.size(), '0') + ".0";
  return out + digits.substr(0, whole) + "." + digits.substr(whole);
}

std::optional<double> parse_float(std::string_view text) {
  std::string digits(trimmed(text));
  if (!drop_underscores(digits)) return std::nullopt;
  std::string_view rest = digits;
  const bool negative = !rest.empty() && rest.front() == '-';
  if (!rest.empty() && (rest.front() == '-' || rest.front() == '+')) rest.remove_prefix(1);
  if (rest.empty() || rest.front() == '-') return std::nullopt;
  double value = 0;
  const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), value);
  if (end != rest.data() + rest.size() || error == std::errc::invalid_argument) return std::nullopt;
  if (error == std::errc::result_out_of_range) {
    // strtod tells overflow from underflow, from_chars does not.
    value = std::strtod(std::string(rest).c_str(), nullptr);
  }
  return negative ? -value : value;
}

std::optional<Value> parse_whole(Budget& budget, std::string_view text, int base) {
  std::string digits(trimmed(text));
  bool negative = false;
  if (!digits.empty() && (digits.front() == '-' || digits.front() == '+')) {
    negative = digits.front() == '-';
    digits.erase(0, 1);
  }
  if (digits.size() > 2 && digits[0] == '0') {
    const char letter = static_cast<char>(digits[1] | 0x20);
    const int prefix = letter == 'x' ? 16 : letter == 'o' ? 8 : letter == 'b' ? 2 : 0;
    if (prefix != 0 && (base == prefix || base == 0)) {
      digits.erase(0, 2);
      if (!digits.empty() && digits.front() == '_') digits.erase(0, 1);
      base = prefix;
    }
  }
  if (base == 0) base = 10;
  if (!drop_underscores(digits) || digits.empty()) return std::nullopt;
  if (std::any_of(digits.begin(), digits.end(), [base](char c) { return digit_of(c) >= base; })) return std::nullopt;
  std::int64_t small = 0;
  const auto end = digits.data() + digits.size();
  if (std::from_chars(digits.data(), end, small, base).ec == std::errc())
    return Value::integer(negative ? -small : small);
  if (digits.size() > BigInteger::kMaxPrintedDigits) return std::nullopt;
  budget.step(digits.size() * digits.size() / 64);
  BigInteger value;
  if (base == 10) {
    value = BigInteger(std::string_view(digits));
  } else {
    for (const char c : digits) value = value * BigInteger(std::int64_t{base}) + BigInteger(std::int64_t{digit_of(c)});
  }
  return make_integer(&budget, negative ? -value : value);
}

std::optional<std::int64_t> parse_integer(std::string_view text, int base) {
  Budget budget(text.size());
  const auto value = parse_whole(budget, text, base);
  if (!value) return std::nullopt;
  if (!value->is_integral()) fail("Python int too large to convert to C ssize_t");
  return value->as_integer();
}

std::string integer_text(const Value& value) {
  if (value.is_integral()) return std::to_string(value.as_integer());
  const BigInteger& big = value.as<BigNumber>().value;
  if (big.digits() > BigInteger::kMaxPrintedDigits) {
    fail("Exceeds the limit (4300 digits) for integer string conversion");
  }
  return big.to_string();
}

void append_string(Budget& budget, TextBuilder& out, const Value& value) {
  if (value.is_string()) {
    out.append(value.str());
  } else if (!value.is_undefined()) {
    append_repr(budget, out, value);
  }
}

namespace {

// What holds no other value; apart from append_repr, whose frames stand on the stack as deep as values nest.
[[gnu::noinline]] void append_leaf(Budget& budget, TextBuilder& out, const Value& value) {
  switch (value.kind()) {
    case Kind::missing:
    case Kind::undefined: out.append("Undefined"); return;
    case Kind::none: out.append("None"); return;
    case Kind::boolean: out.append(value.as_boolean() ? "True" : "False"); return;
    case Kind::integer: out.append(std::to_string(value.as_integer())); return;
    case Kind::big_integer: out.append(integer_text(value)); return;
    case Kind::real: out.append(float_repr(value.as_real())); return;
    case Kind::string:
      if (value.text().markup) out.append("Markup(");
      append_quoted(budget, out, value.str());
      if (value.text().markup) out.append(')');
      return;
    case Kind::range: {
      const Range& range = value.as<Range>();
      out.append("range(" + std::to_string(range.start) + ", " + std::to_string(range.stop));
      if (range.step != 1) out.append(", " + std::to_string(range.step));
      out.append(')');
      return;
    }
    case Kind::loop: out.append(value.as<Loop>().description()); return;
    case Kind::callable:
      if (const MacroNode* macro = value.as<Callable>().macro) {
        out.append("<Macro ");
        if (macro->name.empty()) out.append("anonymous");
        if (!macro->name.empty()) append_quoted(budget, out, macro->name);
        return out.append('>');
      }
      break;
    default: break;  // an iterator
  }
  // Python prints their address.
  fail(ErrorKind::unsupported, "printing a " + std::string(type_name(value)));
}

}  // namespace

void append_repr(Budget& budget, TextBuilder& out, const Value& value) {
  budget.step();
  const Kind kind = value.kind();
  const bool holds_others =
      kind == Kind::list || kind == Kind::tuple || kind == Kind::dict || kind == Kind::view || kind == Kind::name_space;
  if (!holds_others) return append_leaf(budget, out, value);
  // A namespace can hold itself, with any lists in between.
  const DepthGuard guard(budget);
  switch (kind) {
    case Kind::dict: return append_entries(budget, out, value.mapping());
    case Kind::view: return append_view(budget, out, value.as<View>());
    case Kind::name_space: return append_namespace(budget, out, value.as<Namespace>());
    default: break;
  }
  out.append(kind == Kind::list ? '[' : '(');
  append_items(budget, out, value.items());
  out.append(kind == Kind::list ? "]" : value.items().size() == 1 ? ",)" : ")");
}

Value to_text(Budget& budget, const Value& value) {
  if (value.is_string()) return value;
  TextBuilder out(budget);
  append_string(budget, out, value);
  return make_text(&budget, out.take());
}

}  // namespace powerhouse::jinja
