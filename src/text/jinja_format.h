// Python's two ways of formatting, "%5.2f" % x and "{:>5.2f}".format(x), over one description of a field.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "text/jinja_value.h"

namespace powerhouse::jinja {

class Interpreter;

struct FormatSpec {
  std::string fill = " ";
  char align = '\0';       // '<' '>' '^' '=' (fill after the sign); none: by type
  char sign = '-';         // '-' only negatives, '+' both, ' ' blank for positives
  bool alternate = false;  // "#"
  char grouping = '\0';    // ',' or '_'
  std::size_t width = 0;
  std::optional<std::size_t> precision{};
  char type = '\0';
};

/// Digits of an integer or float as `spec.type` asks, padded.
void append_number(Budget& budget, TextBuilder& out, const FormatSpec& spec, const Value& value);
/// Text cut to the precision, padded.
void append_padded(Budget& budget, TextBuilder& out, const FormatSpec& spec, const Value& text);

/// str.format
Value format_braces(Interpreter& interpreter, const Value& text, const Arguments& arguments);

}  // namespace powerhouse::jinja
