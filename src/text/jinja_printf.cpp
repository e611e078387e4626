#include "text/jinja_printf.h"

#include <cmath>
#include <limits>

#include "support/utf8.h"
#include "text/jinja_escape.h"
#include "text/jinja_format.h"
#include "text/jinja_operators.h"
#include "text/jinja_strings.h"

namespace powerhouse::jinja {
namespace {

class PrintfFormatter {
 public:
  PrintfFormatter(Budget& budget, const Value& text, const Value& arguments)
      : budget_(budget), markup_(text.text().markup), text_(text.str()), arguments_(arguments), out_(budget) {
    // Anything that can be subscripted counts as a mapping, which is why a list need not be used up.
    mapping_ = arguments.kind() == Kind::dict || arguments.kind() == Kind::list || arguments.is_undefined() ||
               arguments.kind() == Kind::range;
  }

  Value run() {
    for (std::size_t at = 0; at < text_.size();) {
      const std::size_t percent = std::min(text_.find('%', at), text_.size());
      out_.append(text_.substr(at, percent - at));
      at = percent;
      if (at < text_.size()) at = conversion(at + 1);
    }
    const bool one_left = arguments_.kind() != Kind::tuple && !mapping_ && used_ == 0;
    const bool some_left = arguments_.kind() == Kind::tuple && used_ < arguments_.items().size();
    if (one_left || some_left) fail("not all arguments converted during string formatting");
    return make_text(&budget_, out_.take(), markup_);
  }

 private:
  char at_or_fail(std::size_t at) const {
    if (at >= text_.size()) fail("incomplete format");
    return text_[at];
  }

  // Handles one conversion whose "%" has been read; the offset after it.
  std::size_t conversion(std::size_t at) {
    budget_.step();
    FormatSpec spec;
    Value value;
    if (at_or_fail(at) == '(') {
      const std::size_t end = key_end(at + 1);
      if (arguments_.kind() != Kind::dict) fail("format requires a mapping");
      const std::string_view key = text_.substr(at + 1, end - at - 1);
      const Value* found = arguments_.mapping().find(key);
      if (found == nullptr) fail("format misses the key '" + std::string(key) + "'");
      value = *found;
      at = end + 1;
    }
    bool left = false, zero = false;
    for (;; ++at) {
      const char c = at_or_fail(at);
      if (c == '-') {
        left = true;
      } else if (c == '+') {
        spec.sign = '+';
      } else if (c == ' ') {
        spec.sign = spec.sign == '+' ? '+' : ' ';
      } else if (c == '#') {
        spec.alternate = true;
      } else if (c == '0') {
        zero = true;
      } else {
        break;
      }
    }
    std::int64_t width = number(at);
    if (width < 0) left = true;
    spec.width = static_cast<std::size_t>(width < 0 ? -width : width);
    if (at_or_fail(at) == '.') {
      ++at;
      spec.precision = static_cast<std::size_t>(std::max<std::int64_t>(number(at), 0));
    }
    while (at_or_fail(at) == 'h' || text_[at] == 'l' || text_[at] == 'L') ++at;
    spec.type = text_[at];
    spec.align = left ? '<' : '>';
    if (spec.type == '%') {
      out_.append('%');
      return at + 1;
    }
    if (value.is_missing()) value = next();
    if (zero && !left) {
      spec.align = '=';
      spec.fill = "0";
    }
    append(spec, value);
    return at + 1;
  }

  std::size_t key_end(std::size_t at) const {
    for (int open = 1; at < text_.size(); ++at) {
      if (text_[at] == '(') ++open;
      if (text_[at] == ')' && --open == 0) return at;
    }
    fail("incomplete format key");
  }

  std::int64_t number(std::size_t& at) {
    if (at_or_fail(at) == '*') {
      ++at;
      const std::int64_t value = expect_integer(next(), "* wants an int: it");
      if (value == std::numeric_limits<std::int64_t>::min()) fail("width too big");
      return value;
    }
    std::int64_t value = 0;
    for (; at_or_fail(at) >= '0' && text_[at] <= '9'; ++at) {
      value = checked_add(checked_multiply(value, 10), text_[at] - '0');
    }
    return value;
  }

  Value next() {
    if (arguments_.kind() == Kind::tuple) {
      if (used_ >= arguments_.items().size()) fail("not enough arguments for format string");
      return arguments_.items()[used_++];
    }
    if (used_++ > 0) fail("not enough arguments for format string");
    return arguments_;
  }

  void append(FormatSpec spec, const Value& value) {
    switch (spec.type) {
      case 's':
      case 'r':
      case 'a': return append_text(spec, value);
      case 'c': return append_character(spec, value);
      case 'i':
      case 'u': spec.type = 'd'; [[fallthrough]];
      case 'd':
      case 'o':
      case 'x':
      case 'X': return append_integer(spec, value);
      case 'e':
      case 'E':
      case 'f':
      case 'F':
      case 'g':
      case 'G':
        if (!value.is_number()) fail_type("must be real number", value);
        return append_number(budget_, out_, spec, value);
      default: fail(std::string("unsupported format character '") + spec.type + "'");
    }
  }

  void append_text(const FormatSpec& spec, const Value& value) {
    if (spec.type == 'a') fail(ErrorKind::unsupported, "the conversion %a");
    TextBuilder shown(budget_);
    if (spec.type == 's') {
      append_string(budget_, shown, value);
    } else {
      append_repr(budget_, shown, value);
    }
    const bool escape = markup_ && !(spec.type == 's' && value.is_string() && value.text().markup);
    if (escape) {
      TextBuilder escaped(budget_);
      append_escaped(escaped, shown.text());
      return pad(spec, escaped.take());
    }
    pad(spec, shown.take());
  }

  void append_character(const FormatSpec& spec, const Value& value) {
    std::string text;
    if (value.is_string() && value.text().length == 1) {
      text = value.str();
    } else if (value.is_integral() && value.as_integer() >= 0 && value.as_integer() < 0x110000 &&
               (value.as_integer() < 0xD800 || value.as_integer() > 0xDFFF)) {
      append_utf8(text, static_cast<char32_t>(value.as_integer()));
    } else {
      fail_type("%c requires int or char", value);
    }
    FormatSpec whole = spec;
    whole.precision.reset();
    pad(whole, std::move(text));
  }

  void pad(FormatSpec spec, std::string text) {
    spec.fill = " ";
    if (spec.align == '=') spec.align = '>';
    append_padded(budget_, out_, spec, make_text(&budget_, std::move(text)));
  }

  void append_integer(FormatSpec spec, const Value& value) {
    Value whole = value;
    if (value.kind() == Kind::real && spec.type == 'd') {
      const double real = std::trunc(value.as_real());
      if (!std::isfinite(real)) fail("cannot convert float infinity or NaN to integer");
      whole = make_integer(&budget_, BigInteger::truncate(real));
    } else if (!value.is_whole()) {
      fail_type(std::string("%") + spec.type + " format: a number is required", value);
    }
    if (spec.precision) {
      // A precision asks for that many digits at least.
      const auto digits = static_cast<std::int64_t>(*spec.precision);
      if (digits > 1000) fail(ErrorKind::range, "a precision beyond 1000");
      FormatSpec inner{.fill = "0", .align = '=', .width = *spec.precision, .type = spec.type};
      TextBuilder text(budget_);
      if (whole.as_big().negative() || spec.sign != '-' || spec.alternate)
        fail(ErrorKind::unsupported, "this precision of an int");
      append_number(budget_, text, inner, whole);
      FormatSpec outer{.align = spec.align, .width = spec.width};
      return pad(outer, text.take());
    }
    append_number(budget_, out_, spec, whole);
  }

  Budget& budget_;
  bool markup_;
  std::string_view text_;
  const Value& arguments_;
  TextBuilder out_;
  bool mapping_ = false;
  std::size_t used_ = 0;
};

}  // namespace

Value format_printf(Budget& budget, const Value& text, const Value& arguments) {
  return PrintfFormatter(budget, text, arguments).run();
}

}  // namespace powerhouse::jinja
