// The methods of str that ask: searching, counting, classes of characters, and format().
#include <algorithm>

#include "support/utf8.h"
#include "text/jinja_builtins.h"
#include "text/jinja_format.h"
#include "text/jinja_operators.h"
#include "text/jinja_strings.h"
#include "text/python_unicode.h"

namespace powerhouse::jinja {
namespace {

// The window text[start:end] of find, count and their kin, in bytes.
struct Window {
  std::size_t begin = 0, end = 0;
  bool valid = true;  // start beyond the end matches nothing, not even the empty text
};
Window window(BuiltinCall& call, std::size_t start_argument) {
  const Text& text = call.self.text();
  const auto length = static_cast<std::int64_t>(text.length);
  const auto bound = [&](std::size_t i, std::int64_t otherwise) {
    if (!call.given(i)) return otherwise;
    const std::int64_t at = expect_integer(call[i], "the index");
    return at < 0 ? std::max<std::int64_t>(at + length, 0) : at;
  };
  const std::int64_t start = bound(start_argument, 0), end = std::min(bound(start_argument + 1, length), length);
  if (start > end) return {.valid = false};
  call.budget.step_characters(text.ascii() ? 0 : text.bytes.size());
  call.budget.step_bytes(text.bytes.size());
  return {.begin = byte_offset(text, static_cast<std::size_t>(start)),
          .end = byte_offset(text, static_cast<std::size_t>(end))};
}

template <bool from_right, bool must_exist>
Value find(BuiltinCall& call) {
  const std::string& wanted = call.text(0).bytes;
  const Window in = window(call, 1);
  const std::string_view text = std::string_view(call.self.str()).substr(0, in.end);
  std::size_t found = std::string_view::npos;
  if (in.valid && from_right) {
    call.budget.step_characters(text.size());
    call.budget.step(text.size() / 64 * (wanted.size() / 16));
    found = text.rfind(wanted);
    if (found != std::string_view::npos && found < in.begin) found = std::string_view::npos;
  } else if (in.valid) {
    found = find_text(text, wanted, in.begin);
  }
  if (found == std::string_view::npos) {
    if (must_exist) fail("substring not found");
    return Value::integer(-1);
  }
  return Value::integer(static_cast<std::int64_t>(code_point_index(call.self.text(), found)));
}

Value count_text(BuiltinCall& call) {
  const Text& wanted = call.text(0);
  const Window in = window(call, 1);
  if (!in.valid) return Value::integer(0);
  const std::string_view text = std::string_view(call.self.str()).substr(0, in.end);
  if (wanted.bytes.empty()) {
    const std::size_t points =
        code_point_index(call.self.text(), in.end) - code_point_index(call.self.text(), in.begin);
    return Value::integer(static_cast<std::int64_t>(points) + 1);
  }
  std::int64_t total = 0;
  for (std::size_t at = in.begin;; ++total) {
    at = find_text(text, wanted.bytes, at);
    if (at == std::string_view::npos) return Value::integer(total);
    call.budget.step_bytes(wanted.bytes.size());
    at += wanted.bytes.size();
  }
}

template <bool at_end>
Value starts_or_ends(BuiltinCall& call) {
  const Window in = window(call, 1);
  const std::string_view text =
      in.valid ? std::string_view(call.self.str()).substr(in.begin, in.end - in.begin) : std::string_view();
  const auto matches = [&](const Value& affix) {
    if (!affix.is_string()) fail_type("startswith and endswith take a string or a tuple of strings", affix);
    call.budget.step_bytes(affix.str().size());
    return in.valid && (at_end ? text.ends_with(affix.str()) : text.starts_with(affix.str()));
  };
  if (call[0].kind() != Kind::tuple) return Value::boolean(matches(call[0]));
  const Values& affixes = call[0].items();
  return Value::boolean(std::any_of(affixes.begin(), affixes.end(), matches));
}

// Whether the text is not empty and every character passes.
template <bool (*passes)(char32_t)>
Value all_of(BuiltinCall& call) {
  const std::string_view text = call.self.str();
  call.budget.step_characters(text.size());
  for (std::size_t at = 0; at < text.size();) {
    const Utf8Step step = decode_utf8(text.substr(at));
    if (!passes(step.code_point)) return Value::boolean(false);
    at += step.length;
  }
  return Value::boolean(!text.empty());
}
bool is_alphanumeric(char32_t c) {
  return python_unicode::is_alphabetic(c) || python_unicode::is_decimal(c) || python_unicode::is_digit(c) ||
         python_unicode::is_numeric(c);
}
bool alphabetic(char32_t c) { return python_unicode::is_alphabetic(c); }
bool decimal(char32_t c) { return python_unicode::is_decimal(c); }
bool digit(char32_t c) { return python_unicode::is_digit(c); }
bool numeric(char32_t c) { return python_unicode::is_numeric(c); }
bool printable(char32_t c) { return python_unicode::is_printable(c); }
bool space(char32_t c) { return python_unicode::is_space(c); }

Value is_ascii(BuiltinCall& call) { return Value::boolean(call.self.text().ascii()); }
Value is_printable(BuiltinCall& call) {
  if (call.self.str().empty()) return Value::boolean(true);
  return all_of<printable>(call);
}

Value is_lower_text(BuiltinCall& call) { return Value::boolean(is_lower_case(call.budget, call.self.str())); }
Value is_upper_text(BuiltinCall& call) { return Value::boolean(is_upper_case(call.budget, call.self.str())); }

Value is_title(BuiltinCall& call) {
  const std::string_view text = call.self.str();
  call.budget.step_characters(text.size());
  bool inside = false, any = false;
  for (std::size_t at = 0; at < text.size();) {
    const Utf8Step step = decode_utf8(text.substr(at));
    at += step.length;
    const char32_t c = step.code_point;
    if (python_unicode::is_upper(c) || python_unicode::is_title(c)) {
      if (inside) return Value::boolean(false);
      inside = any = true;
    } else if (python_unicode::is_lower(c)) {
      if (!inside) return Value::boolean(false);
      any = true;
    } else {
      inside = false;
    }
  }
  return Value::boolean(any);
}

Value format_text(BuiltinCall& call) { return format_braces(call.interpreter, call.self, call.rest); }
Value format_map(BuiltinCall& call) {
  Arguments arguments;
  if (call[0].kind() != Kind::dict) fail_type("format_map() takes a dict", call[0]);
  for (const auto& [key, value] : call[0].mapping().entries) {
    if (key.is_string()) arguments.keyword.emplace_back(key.str(), value);
  }
  return format_braces(call.interpreter, call.self, arguments);
}

constexpr Builtin kTextQueries[] = {
    {"count", "sub start? end? /", count_text},
    {"endswith", "suffix start? end? /", starts_or_ends<true>},
    {"find", "sub start? end? /", find<false, false>},
    {"format", "* **", format_text},
    {"format_map", "mapping /", format_map},
    {"index", "sub start? end? /", find<false, true>},
    {"isalnum", "/", all_of<is_alphanumeric>},
    {"isalpha", "/", all_of<alphabetic>},
    {"isascii", "/", is_ascii},
    {"isdecimal", "/", all_of<decimal>},
    {"isdigit", "/", all_of<digit>},
    {"islower", "/", is_lower_text},
    {"isnumeric", "/", all_of<numeric>},
    {"isprintable", "/", is_printable},
    {"isspace", "/", all_of<space>},
    {"istitle", "/", is_title},
    {"isupper", "/", is_upper_text},
    {"rfind", "sub start? end? /", find<true, false>},
    {"rindex", "sub start? end? /", find<true, true>},
    {"startswith", "prefix start? end? /", starts_or_ends<false>},
    {"casefold", "/"},
    {"encode", "* **"},
    {"isidentifier", "/"},
    {"maketrans", "* **"},
    {"swapcase", "/"},
    {"translate", "* **"},
};

}  // namespace

std::span<const Builtin> more_text_methods() { return kTextQueries; }

}  // namespace powerhouse::jinja
