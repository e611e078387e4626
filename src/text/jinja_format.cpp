#include "text/jinja_format.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>

#include "support/utf8.h"
#include "text/jinja_escape.h"
#include "text/jinja_interpreter.h"
#include "text/jinja_operators.h"
#include "text/jinja_strings.h"

namespace powerhouse::jinja {
namespace {

constexpr std::size_t kMaxPrecision = 1000;

struct Number {
  bool negative = false;
  std::string prefix;  // 0x and the like
  std::string digits;
};

// Digits of a base that is a power of two.
std::string based_digits(BigInteger value, int base) {
  if (value.negative()) value = -value;
  std::string out;
  while (value.limbs() > 0) {
    auto [quotient, rest] = BigInteger::divide(value, BigInteger(std::int64_t{base}));
    out += "0123456789abcdef"[static_cast<std::size_t>(rest.small().value_or(0))];
    value = std::move(quotient);
  }
  std::reverse(out.begin(), out.end());
  return out;
}

Number integer_digits(Budget& budget, const FormatSpec& spec, const Value& value) {
  const BigInteger big = value.as_big();
  Number out{.negative = big.negative()};
  int base = 10;
  if (spec.type == 'x' || spec.type == 'X') base = 16;
  if (spec.type == 'o') base = 8;
  if (spec.type == 'b') base = 2;
  if (base == 10) {
    out.digits = integer_text(value);
    if (out.negative) out.digits.erase(0, 1);
  } else {
    budget.step(1 + big.digits() * big.limbs());
    out.digits = big.limbs() == 0 ? "0" : based_digits(big, base);
  }
  if (spec.alternate && base != 10) out.prefix = std::string("0") + spec.type;
  if (spec.type == 'X') {
    std::transform(out.digits.begin(), out.digits.end(), out.digits.begin(),
                   [](char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c; });
  }
  return out;
}

Number float_digits(const FormatSpec& spec, double value) {
  if (spec.precision.value_or(0) > kMaxPrecision) fail(ErrorKind::range, "a precision beyond 1000");
  if (spec.alternate) fail(ErrorKind::unsupported, "'#' in the format of a float");
  Number out{.negative = std::signbit(value) && !std::isnan(value)};
  const double magnitude = std::abs(value);
  const bool upper = spec.type == 'F' || spec.type == 'E' || spec.type == 'G';
  if (!std::isfinite(value)) {
    out.digits = std::isnan(value) ? "nan" : "inf";
    if (upper) out.digits = std::isnan(value) ? "NAN" : "INF";
    if (spec.type == '%') out.digits += '%';
    return out;
  }
  if (spec.type == '\0') {
    if (spec.precision) fail(ErrorKind::unsupported, "a float's format with a precision and no type");
    out.digits = float_repr(magnitude);
    return out;
  }
  const int precision = static_cast<int>(spec.precision.value_or(6));
  const char conversion = spec.type == '%' ? 'f' : spec.type;
  const std::string form = std::string("%.*") + conversion;
  const double scaled = spec.type == '%' ? magnitude * 100 : magnitude;
  const int length = std::snprintf(nullptr, 0, form.c_str(), precision, scaled);
  out.digits.resize(static_cast<std::size_t>(length) + 1);
  std::snprintf(out.digits.data(), out.digits.size(), form.c_str(), precision, scaled);
  out.digits.pop_back();
  if (spec.type == '%') out.digits += '%';
  return out;
}

void group_digits(const FormatSpec& spec, Number& number) {
  if (spec.grouping == '\0') return;
  const std::size_t step = spec.type == 'x' || spec.type == 'X' || spec.type == 'o' || spec.type == 'b' ? 4 : 3;
  const std::size_t whole = std::min(number.digits.find_first_not_of("0123456789abcdefABCDEF"), number.digits.size());
  for (std::size_t at = whole; at > step;) {
    at -= step;
    number.digits.insert(at, 1, spec.grouping);
  }
}

// "{}" fields: reads the template, finds each argument, applies conversion and format specification.
class BraceFormatter {
 public:
  BraceFormatter(Interpreter& interpreter, const Value& text, const Arguments& arguments)
      : interpreter_(interpreter), budget_(interpreter.budget()), text_(text), arguments_(arguments), out_(budget_) {}

  Value run() {
    append(text_.str(), out_, 2);
    return make_text(&budget_, out_.take(), text_.text().markup);
  }

 private:
  void append(std::string_view text, TextBuilder& out, int depth) {
    if (depth < 0) fail("Max string recursion exceeded");
    budget_.step_characters(text.size());
    for (std::size_t at = 0; at < text.size();) {
      const char c = text[at];
      if (c != '{' && c != '}') {
        out.append(c);
        ++at;
      } else if (at + 1 < text.size() && text[at + 1] == c) {
        out.append(c);
        at += 2;
      } else if (c == '}') {
        fail("Single '}' encountered in format string");
      } else {
        const std::size_t end = field_end(text, at + 1);
        field(text.substr(at + 1, end - at - 1), out, depth);
        at = end + 1;
      }
    }
  }

  static std::size_t field_end(std::string_view text, std::size_t at) {
    int open = 1;
    for (; at < text.size(); ++at) {
      if (text[at] == '{') ++open;
      if (text[at] == '}' && --open == 0) return at;
    }
    fail("expected '}' before end of string");
  }

  void field(std::string_view field, TextBuilder& out, int depth) {
    budget_.step();
    std::size_t name_end = 0;
    for (bool bracket = false; name_end < field.size(); ++name_end) {
      if (field[name_end] == '[') bracket = true;
      if (field[name_end] == ']') bracket = false;
      if (!bracket && (field[name_end] == '!' || field[name_end] == ':')) break;
    }
    std::string_view rest = field.substr(name_end);
    Value value = lookup(field.substr(0, name_end));
    if (rest.starts_with('!')) {
      if (rest.size() < 2) fail("end of string while looking for conversion specifier");
      value = convert(value, rest[1]);
      rest.remove_prefix(2);
      if (!rest.empty() && rest.front() != ':') fail("expected ':' after conversion specifier");
    }
    if (rest.starts_with(':')) rest.remove_prefix(1);
    TextBuilder spec(budget_);
    append(rest, spec, depth - 1);
    format_value(out, value, spec.text());
  }

  Value convert(const Value& value, char conversion) {
    if (conversion == 's') return to_text(budget_, value);
    if (conversion == 'a') fail(ErrorKind::unsupported, "the conversion '!a'");
    if (conversion != 'r') fail("Unknown conversion specifier");
    TextBuilder out(budget_);
    append_repr(budget_, out, value);
    return make_text(&budget_, out.take());
  }

  // "name.attribute[index]", "0" or nothing for the next argument.
  Value lookup(std::string_view name) {
    const std::size_t first_end = std::min(name.find_first_of(".["), name.size());
    Value value = argument(name.substr(0, first_end));
    for (std::size_t at = first_end; at < name.size();) {
      if (name[at] == '.') {
        const std::size_t end = std::min(name.find_first_of(".[", at + 1), name.size());
        if (end == at + 1) fail("Empty attribute in format string");
        value = interpreter_.get_attribute(value, std::string(name.substr(at + 1, end - at - 1)));
        at = end;
        continue;
      }
      const std::size_t end = name.find(']', at);
      if (name[at] != '[' || end == std::string_view::npos) fail("Missing ']' in format string");
      const std::string_view key = name.substr(at + 1, end - at - 1);
      const bool number = !key.empty() && key.find_first_not_of("0123456789") == std::string_view::npos;
      const Value index =
          number ? Value::integer(parse_integer(key, 10).value()) : make_text(&budget_, std::string(key));
      value = interpreter_.get_item(value, index);
      at = end + 1;
    }
    return value;
  }

  Value argument(std::string_view name) {
    if (name.empty()) {
      if (numbering_ == Numbering::manual) fail("cannot switch from manual field specification to automatic numbering");
      numbering_ = Numbering::automatic;
      return positional(next_++);
    }
    if (name.find_first_not_of("0123456789") == std::string_view::npos) {
      if (numbering_ == Numbering::automatic) {
        fail("cannot switch from automatic field numbering to manual specification");
      }
      numbering_ = Numbering::manual;
      const auto index = parse_integer(name, 10);
      return positional(static_cast<std::size_t>(index.value()));
    }
    for (const auto& [key, value] : arguments_.keyword) {
      if (key == name) return value;
    }
    fail("format() misses the argument '" + std::string(name) + "'");
  }
  Value positional(std::size_t index) {
    if (index >= arguments_.positional.size()) fail("Replacement index out of range for positional args tuple");
    return arguments_.positional[index];
  }

  void format_value(TextBuilder& out, const Value& value, std::string_view text) {
    const bool escapes = text_.text().markup;
    if (text.empty()) {
      const Value plain = to_text(budget_, value);
      if (escapes && !plain.text().markup) {
        append_escaped(out, plain.str());
      } else {
        out.append(plain.str());
      }
      return;
    }
    if (escapes) fail(ErrorKind::unsupported, "format specifications in Markup");
    const FormatSpec spec = parse_spec(text);
    if (value.is_string()) {
      if (spec.type != '\0' && spec.type != 's') fail_code(spec.type, value);
      if (spec.align == '=') fail("'=' alignment not allowed in string format specifier");
      if (spec.sign != '-' || explicit_sign_) fail("Sign not allowed in string format specifier");
      if (spec.grouping != '\0' || spec.alternate) fail("Cannot specify ',', '_' or '#' with 's'.");
      append_padded(budget_, out, spec, value);
    } else if (value.is_number()) {
      constexpr std::string_view kInteger = "bdoxX", kFloat = "eEfFgG%";
      const bool integral = value.is_whole();
      if (spec.type == 'c' || spec.type == 'n') fail(ErrorKind::unsupported, "this format code");
      const bool known = spec.type == '\0' || kFloat.find(spec.type) != std::string_view::npos ||
                         (integral && kInteger.find(spec.type) != std::string_view::npos);
      if (!known) fail_code(spec.type, value);
      if (integral && spec.precision && kFloat.find(spec.type) == std::string_view::npos) {
        fail("Precision not allowed in integer format specifier");
      }
      append_number(budget_, out, spec, value);
    } else {
      fail_type("unsupported format string", value);
    }
  }
  [[noreturn]] static void fail_code(char type, const Value& value) {
    fail(std::string("Unknown format code '") + type + "' for object of type '" + std::string(type_name(value)) + "'");
  }

  FormatSpec parse_spec(std::string_view text) {
    FormatSpec spec;
    constexpr std::string_view kAligns = "<>=^";
    const std::size_t first = code_point_bytes(text, 0);
    if (first < text.size() && kAligns.find(text[first]) != std::string_view::npos) {
      spec.fill = text.substr(0, first);
      spec.align = text[first];
      text.remove_prefix(first + 1);
    } else if (kAligns.find(text[0]) != std::string_view::npos) {
      spec.align = text[0];
      text.remove_prefix(1);
    }
    const auto take = [&text](std::string_view any) {
      if (text.empty() || any.find(text.front()) == std::string_view::npos) return '\0';
      const char c = text.front();
      text.remove_prefix(1);
      return c;
    };
    const char sign = take("+- ");
    explicit_sign_ = sign != '\0';
    if (explicit_sign_) spec.sign = sign;
    spec.alternate = take("#") != '\0';
    bool zero = false;
    if (take("0") != '\0') {
      zero = true;
      if (spec.fill == " " && spec.align == '\0') spec.fill = "0";
    }
    spec.width = number(text).value_or(0);
    if (const char grouping = take(",_"); grouping != '\0') spec.grouping = grouping;
    if (take(".") != '\0') {
      spec.precision = number(text);
      if (!spec.precision) fail("Format specifier missing precision");
    }
    if (text.size() > 1) fail("Invalid format specifier");
    if (!text.empty()) spec.type = text.front();
    if (zero && spec.align == '\0') spec.align = '0';  // '=' for numbers, '<' for text
    return spec;
  }
  static std::optional<std::size_t> number(std::string_view& text) {
    const std::size_t digits = std::min(text.find_first_not_of("0123456789"), text.size());
    if (digits == 0) return std::nullopt;
    const auto value = parse_integer(text.substr(0, digits), 10);
    text.remove_prefix(digits);
    return static_cast<std::size_t>(*value);
  }

  enum class Numbering { unset, automatic, manual };
  Interpreter& interpreter_;
  Budget& budget_;
  const Value& text_;
  const Arguments& arguments_;
  TextBuilder out_;
  Numbering numbering_ = Numbering::unset;
  std::size_t next_ = 0;
  bool explicit_sign_ = false;
};

}  // namespace

void append_padded(Budget& budget, TextBuilder& out, const FormatSpec& spec, const Value& text) {
  const Value cut =
      spec.precision && *spec.precision < text.text().length
          ? slice(budget, text, Value(), Value::integer(static_cast<std::int64_t>(*spec.precision)), Value())
          : text;
  const std::size_t missing = spec.width > cut.text().length ? spec.width - cut.text().length : 0;
  const std::size_t before = spec.align == '>' ? missing : spec.align == '^' ? missing / 2 : 0;
  out.repeat(spec.fill, before);
  out.append(cut.str());
  out.repeat(spec.fill, missing - before);
}

void append_number(Budget& budget, TextBuilder& out, const FormatSpec& spec, const Value& value) {
  constexpr std::string_view kFloat = "eEfFgG%";
  const bool real = value.kind() == Kind::real || kFloat.find(spec.type) != std::string_view::npos;
  Number number = real && spec.type != 'd' ? float_digits(spec, value.as_real()) : integer_digits(budget, spec, value);
  group_digits(spec, number);
  std::string sign = number.negative ? "-" : spec.sign == '-' ? "" : std::string(1, spec.sign);
  sign += number.prefix;
  const std::size_t length = sign.size() + number.digits.size();
  const std::size_t missing = spec.width > length ? spec.width - length : 0;
  const char align = spec.align == '\0' ? '>' : spec.align == '0' ? '=' : spec.align;
  if (missing > 0 && align == '=' && spec.grouping != '\0' && spec.fill == "0") {
    fail(ErrorKind::unsupported, "zero padding with grouping");
  }
  const std::size_t before = align == '>' ? missing : align == '^' ? missing / 2 : 0;
  out.repeat(spec.fill, before);
  out.append(sign);
  if (align == '=') out.repeat(spec.fill, missing);
  out.append(number.digits);
  if (align != '=') out.repeat(spec.fill, missing - before);
}

Value format_braces(Interpreter& interpreter, const Value& text, const Arguments& arguments) {
  return BraceFormatter(interpreter, text, arguments).run();
}

}  // namespace powerhouse::jinja
