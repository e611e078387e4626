// Filters over text.
#include <algorithm>

#include "support/utf8.h"
#include "text/jinja_builtins.h"
#include "text/jinja_escape.h"
#include "text/jinja_filter_support.h"
#include "text/jinja_json.h"
#include "text/jinja_operators.h"
#include "text/jinja_printf.h"
#include "text/jinja_strings.h"
#include "text/python_unicode.h"

namespace powerhouse::jinja {
namespace {

Value capitalize(BuiltinCall& call) { return call_text_method(call, "capitalize"); }
Value upper(BuiltinCall& call) { return call_text_method(call, "upper"); }
Value lower(BuiltinCall& call) { return call_text_method(call, "lower"); }
Value trim(BuiltinCall& call) { return call_text_method(call, "strip"); }
Value string(BuiltinCall& call) { return to_text(call.budget, call.self); }

Value center(BuiltinCall& call) {
  if (!call.has(0)) call.values[0] = Value::integer(80);
  return call_text_method(call, "center");
}

// Plain text in all three places: str() of Markup is no Markup.
Value replace(BuiltinCall& call) {
  const auto plain = [&](const Value& value) {
    const Value text = to_text(call.budget, value);
    return text.text().markup ? call.make(text.str()) : text;
  };
  Arguments arguments{.positional = {plain(call[0]), plain(call[1])}, .keyword = {}};
  if (call.given(2)) arguments.positional.push_back(call[2]);
  return call_builtin(call.interpreter, *find_method(Kind::string, "replace"), plain(call.self), std::move(arguments));
}

Value mark_safe(BuiltinCall& call) {
  const Value text = to_text(call.budget, call.self);
  return text.text().markup ? text : make_text(&call.budget, text.str(), true);
}

template <bool force>
Value escape(BuiltinCall& call) {
  Value text = to_text(call.budget, call.self);
  if (!force && text.text().markup) return text;
  TextBuilder out(call.budget);
  append_escaped(out, text.str());
  return make_text(&call.budget, out.take(), true);
}

Value format(BuiltinCall& call) {
  if (!call.rest.positional.empty() && !call.rest.keyword.empty()) {
    fail("can't handle positional and keyword arguments at the same time");
  }
  const Value text = to_text(call.budget, call.self);
  if (call.rest.keyword.empty()) {
    return format_printf(call.budget, text, make_tuple(&call.budget, std::move(call.rest.positional)));
  }
  auto mapping = std::make_shared<Mapping>();
  for (auto& [key, value] : call.rest.keyword) mapping->set(call.budget, call.make(key), value);
  return format_printf(call.budget, text, make_dict(&call.budget, std::move(mapping)));
}

Value indent(BuiltinCall& call) {
  if (!call.self.is_string()) fail_type("indent takes a string", call.self);
  TextBuilder indentation(call.budget);
  if (call.has(0) && call[0].is_string()) {
    indentation.append(call[0].str());
  } else {
    const std::int64_t width = call.integer(0, 4);
    indentation.repeat(" ", width > 0 ? static_cast<std::size_t>(width) : 0);
  }
  const bool first = call.flag(1, false), blank = call.flag(2, false);
  TextBuilder text(call.budget);
  text.append(call.self.str());
  text.append('\n');
  const auto lines = split_lines(call.budget, text.text(), false);
  TextBuilder out(call.budget);
  for (std::size_t i = 0; i < lines.size(); ++i) {
    if (i > 0) out.append('\n');
    if (i > 0 ? blank || !lines[i].empty() : first) out.append(indentation.text());
    out.append(lines[i]);
  }
  return make_text(&call.budget, out.take(), call.self.text().markup);
}

// Words begin after blanks, hyphens and opening brackets; not str.title, which breaks at every apostrophe.
Value title(BuiltinCall& call) {
  const Value text = to_text(call.budget, call.self);
  const std::string_view all = text.str();
  call.budget.step_characters(2 * all.size());
  TextBuilder out(call.budget);
  const auto separates = [](char32_t c) {
    return python_unicode::is_space(c) || c == '-' || c == '(' || c == '{' || c == '[' || c == '<';
  };
  for (std::size_t at = 0; at < all.size();) {
    std::size_t end = at;
    const bool blank = separates(decode_utf8(all.substr(at)).code_point);
    while (end < all.size()) {
      const Utf8Step step = decode_utf8(all.substr(end));
      if (separates(step.code_point) != blank) break;
      end += step.length;
    }
    const std::size_t first = code_point_bytes(all, at);
    out.append(python_unicode::to_upper(all.substr(at, first)));
    out.append(python_unicode::to_lower(all.substr(at + first, end - at - first)));
    at = end;
  }
  return call.make(out.take());
}

Value truncate(BuiltinCall& call) {
  // Whatever has a length is let through where it is short enough.
  const auto size = length_of(call.self);
  if (!size) fail_type("truncate takes a string", call.self);
  const std::int64_t length = call.integer(0, 255);
  const bool cut_words = call.flag(1, false);
  const Value end = call.has(2) ? call[2] : call.make("...");
  if (!end.is_string()) fail_type("the end must be a string", end);
  const std::int64_t leeway = call.given(3) ? expect_integer(call[3], "the leeway") : 5;
  const auto end_length = static_cast<std::int64_t>(end.text().length);
  if (length < end_length) fail("expected length >= " + std::to_string(end_length) + ", got " + std::to_string(length));
  if (leeway < 0) fail("expected leeway >= 0, got " + std::to_string(leeway));
  if (static_cast<std::int64_t>(*size) <= checked_add(length, leeway)) return call.self;
  if (!call.self.is_string()) fail_type("truncate takes a string", call.self);
  const Value cut = slice(call.budget, call.self, Value(), Value::integer(length - end_length), Value());
  std::string_view kept = cut.str();
  if (!cut_words) kept = kept.substr(0, kept.rfind(' '));
  return call.make(std::string(kept) + end.str());
}

Value word_count(BuiltinCall& call) {
  const Value text = to_text(call.budget, call.self);
  call.budget.step_characters(2 * text.str().size());
  std::int64_t count = 0;
  bool inside = false;
  for (std::size_t at = 0; at < text.str().size();) {
    const Utf8Step step = decode_utf8(std::string_view(text.str()).substr(at));
    at += step.length;
    const char32_t c = step.code_point;
    const bool word = c == '_' || python_unicode::is_alphabetic(c) || python_unicode::is_decimal(c) ||
                      python_unicode::is_digit(c) || python_unicode::is_numeric(c);
    count += word && !inside ? 1 : 0;
    inside = word;
  }
  return Value::integer(count);
}

void append_quoted_url(Budget& budget, TextBuilder& out, std::string_view text, bool query) {
  budget.step_characters(4 * text.size());
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    const bool plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
                       c == '.' || c == '-' || c == '~' || (c == '/' && !query);
    if (plain) {
      out.append(c);
    } else if (c == ' ' && query) {
      out.append('+');
    } else {
      out.append('%');
      out.append(kDigits[byte >> 4]);
      out.append(kDigits[byte & 15]);
    }
  }
}

Value url_encode(BuiltinCall& call) {
  TextBuilder out(call.budget);
  if (call.self.is_string() || !is_iterable(call.self)) {
    append_quoted_url(call.budget, out, to_text(call.budget, call.self).str(), false);
    return call.make(out.take());
  }
  const bool mapping = call.self.kind() == Kind::dict;
  auto view = std::make_shared<View>(call.self.depth());
  if (mapping) {
    view->mapping = call.self.object();
    view->part = ViewPart::items;
  }
  const auto next = iterate(call.budget, mapping ? Value(Kind::view, view) : call.self);
  for (Value pair; next(pair);) {
    const Values both = collect(call.budget, pair);
    if (both.size() != 2) fail("urlencode takes pairs");
    if (!out.empty()) out.append('&');
    append_quoted_url(call.budget, out, to_text(call.budget, both[0]).str(), true);
    out.append('=');
    append_quoted_url(call.budget, out, to_text(call.budget, both[1]).str(), true);
  }
  return call.make(out.take());
}

Value to_json(BuiltinCall& call) {
  JsonFormat format{.ensure_ascii = call.flag(0, false), .sort_keys = call.flag(3, false)};
  if (call.given(1)) {
    format.indented = true;
    if (call[1].is_string()) {
      format.indent = call[1].str();
    } else {
      const std::int64_t width = expect_integer(call[1], "indent");
      call.budget.expect_room(static_cast<std::size_t>(std::max<std::int64_t>(width, 0)));
      format.indent.assign(static_cast<std::size_t>(std::max<std::int64_t>(width, 0)), ' ');
    }
    format.item_separator = ",";
  }
  if (call.given(2)) {
    const Values separators = collect(call.budget, call[2]);
    if (separators.size() != 2 || !separators[0].is_string() || !separators[1].is_string()) {
      fail("tojson's separators are two strings");
    }
    format.item_separator = separators[0].str();
    format.key_separator = separators[1].str();
  }
  TextBuilder out(call.budget);
  append_json(call.budget, out, call.self, format);
  return call.make(out.take());
}

constexpr Builtin kTextFilters[] = {
    {"capitalize", "", capitalize},
    {"center", "width?", center},
    {"e", "/", escape<false>},
    {"escape", "/", escape<false>},
    {"forceescape", "", escape<true>},
    {"format", "* **", format},
    {"indent", "width? first? blank?", indent},
    {"lower", "", lower},
    {"replace", "old new count?", replace},
    {"safe", "", mark_safe},
    {"string", "/", string},
    {"title", "", title},
    {"tojson", "ensure_ascii? indent? separators? sort_keys?", to_json},
    {"trim", "chars?", trim},
    {"truncate", "length? killwords? end? leeway?", truncate},
    {"upper", "", upper},
    {"urlencode", "", url_encode},
    {"wordcount", "", word_count},
    {"filesizeformat", "* **"},
    {"pprint", "* **"},
    {"striptags", "* **"},
    {"urlize", "* **"},
    {"wordwrap", "* **"},
    {"xmlattr", "* **"},
};

}  // namespace

std::span<const Builtin> text_filters() { return kTextFilters; }

}  // namespace powerhouse::jinja
