// The methods of str that change or cut text. On Markup they give Markup, and escape what is put in.
#include <algorithm>
#include <limits>

#include "text/jinja_builtins.h"
#include "text/jinja_escape.h"
#include "text/jinja_operators.h"
#include "text/jinja_strings.h"
#include "text/python_unicode.h"

namespace powerhouse::jinja {
namespace {

Value same_kind(BuiltinCall& call, std::string text) {
  return make_text(&call.budget, std::move(text), call.self.text().markup);
}
Value piece(BuiltinCall& call, std::string_view text) {
  call.budget.expect_room(text.size());
  return same_kind(call, std::string(text));
}

// What replaces or fills: escaped where the text is Markup and it is not.
std::string inserted(BuiltinCall& call, const Text& text) {
  if (!call.self.text().markup || text.markup) return text.bytes;
  TextBuilder out(call.budget);
  append_escaped(out, text.bytes);
  return out.take();
}

template <std::string (*convert)(std::string_view)>
Value converted(BuiltinCall& call) {
  call.budget.step_characters(call.self.str().size());
  call.budget.expect_room(call.self.str().size(), 8);
  return same_kind(call, convert(call.self.str()));
}

template <Side side>
Value stripped(BuiltinCall& call) {
  const Text* characters = call.given(0) ? &call.text(0) : nullptr;
  return piece(call, strip(call.budget, call.self.str(), side, characters));
}

Value replaced(BuiltinCall& call) {
  const std::string_view text = call.self.str();
  const std::string& old = call.text(0).bytes;
  const std::string with = inserted(call, call.text(1));
  const std::int64_t wanted = call.integer(2, -1);
  std::size_t left = wanted < 0 ? std::numeric_limits<std::size_t>::max() : static_cast<std::size_t>(wanted);
  TextBuilder out(call.budget);
  std::size_t at = 0;
  if (old.empty()) {
    // Before each character, and at the end.
    for (; left > 0 && at < text.size(); --left) {
      out.append(with);
      const std::size_t length = code_point_bytes(text, at);
      out.append(text.substr(at, length));
      at += length;
      call.budget.step();
    }
    if (left > 0) out.append(with);
  } else {
    for (; left > 0; --left) {
      const std::size_t found = find_text(text, old, at);
      if (found == std::string_view::npos) break;
      call.budget.step_bytes(old.size());
      out.append(text.substr(at, found - at));
      out.append(with);
      at = found + old.size();
    }
  }
  out.append(text.substr(std::min(at, text.size())));
  return same_kind(call, out.take());
}

// The last occurrence that ends at or before `end`.
std::size_t find_last(Budget& budget, std::string_view text, std::string_view wanted, std::size_t end) {
  budget.step_characters(text.size());
  budget.step(text.size() / 64 * (wanted.size() / 16));
  return wanted.size() > end ? std::string_view::npos : text.substr(0, end).rfind(wanted);
}

Values split_on(BuiltinCall& call, const std::string& separator, std::size_t most) {
  Values out;
  const std::string_view text = call.self.str();
  std::size_t at = 0;
  while (out.size() < most) {
    const std::size_t found = find_text(text, separator, at);
    if (found == std::string_view::npos) break;
    call.budget.step_bytes(separator.size());
    out.push_back(piece(call, text.substr(at, found - at)));
    at = found + separator.size();
  }
  out.push_back(piece(call, text.substr(at)));
  return out;
}

Values split_on_last(BuiltinCall& call, const std::string& separator, std::size_t most) {
  Values out;
  const std::string_view text = call.self.str();
  std::size_t end = text.size();
  while (out.size() < most) {
    const std::size_t found = find_last(call.budget, text.substr(0, end), separator, end);
    if (found == std::string_view::npos) break;
    out.push_back(piece(call, text.substr(found + separator.size(), end - found - separator.size())));
    end = found;
  }
  out.push_back(piece(call, text.substr(0, end)));
  std::reverse(out.begin(), out.end());
  return out;
}

// Words between runs of white space; the rest keeps its inner blanks and loses the outer ones.
Values split_words(BuiltinCall& call, std::size_t most) {
  Values out;
  std::string_view text = strip(call.budget, call.self.str(), Side::left, nullptr);
  while (!text.empty()) {
    if (out.size() == most) {
      out.push_back(piece(call, text));
      break;
    }
    std::size_t end = 0;
    while (end < text.size()) {
      const std::size_t length = code_point_bytes(text, end);
      if (strip(call.budget, text.substr(end, length), Side::left, nullptr).empty()) break;
      end += length;
    }
    out.push_back(piece(call, text.substr(0, end)));
    text = strip(call.budget, text.substr(end), Side::left, nullptr);
  }
  return out;
}

Values split_last_words(BuiltinCall& call, std::size_t most) {
  Values out;
  std::string_view text = strip(call.budget, call.self.str(), Side::right, nullptr);
  while (!text.empty()) {
    if (out.size() == most) {
      out.push_back(piece(call, text));
      break;
    }
    std::size_t begin = text.size();
    while (begin > 0) {
      std::size_t previous = begin - 1;
      while (previous > 0 && (static_cast<unsigned char>(text[previous]) & 0xC0) == 0x80) --previous;
      if (strip(call.budget, text.substr(previous, begin - previous), Side::left, nullptr).empty()) break;
      begin = previous;
    }
    out.push_back(piece(call, text.substr(begin)));
    text = strip(call.budget, text.substr(0, begin), Side::right, nullptr);
  }
  std::reverse(out.begin(), out.end());
  return out;
}

template <bool from_right>
Value split(BuiltinCall& call) {
  const std::int64_t wanted = call.integer(1, -1);
  const std::size_t most = wanted < 0 ? std::numeric_limits<std::size_t>::max() : static_cast<std::size_t>(wanted);
  call.budget.step_bytes(call.self.str().size());
  if (!call.given(0)) {
    return make_list(&call.budget, from_right ? split_last_words(call, most) : split_words(call, most));
  }
  const std::string& separator = call.text(0).bytes;
  if (separator.empty()) fail("empty separator");
  return make_list(&call.budget, from_right ? split_on_last(call, separator, most) : split_on(call, separator, most));
}

Value split_lines(BuiltinCall& call) {
  Values out;
  for (const std::string_view line : split_lines(call.budget, call.self.str(), call.flag(0, false))) {
    out.push_back(piece(call, line));
  }
  return make_list(&call.budget, std::move(out));
}

template <bool from_right>
Value partition(BuiltinCall& call) {
  const std::string_view text = call.self.str();
  const std::string& separator = call.text(0).bytes;
  if (separator.empty()) fail("empty separator");
  call.budget.step_bytes(text.size());
  const std::size_t found =
      from_right ? find_last(call.budget, text, separator, text.size()) : find_text(text, separator, 0);
  if (found == std::string_view::npos) {
    if (from_right) return make_tuple(&call.budget, {piece(call, ""), piece(call, ""), piece(call, text)});
    return make_tuple(&call.budget, {piece(call, text), piece(call, ""), piece(call, "")});
  }
  return make_tuple(&call.budget, {piece(call, text.substr(0, found)), piece(call, separator),
                                   piece(call, text.substr(found + separator.size()))});
}

Value joined(BuiltinCall& call) {
  TextBuilder out(call.budget);
  const auto next = iterate(call.budget, call[0]);
  bool first = true;
  for (Value item; next(item); first = false) {
    const bool markup = call.self.text().markup;
    if (!item.is_string() && !markup) fail_type("join() takes strings", item);
    if (!first) out.append(call.self.str());
    const Value text = to_text(call.budget, item);
    if (markup && !text.text().markup) {
      append_escaped(out, text.str());
    } else {
      out.append(text.str());
    }
  }
  return same_kind(call, out.take());
}

enum class Justify { left, right, center };
template <Justify justify>
Value justified(BuiltinCall& call) {
  const Text& text = call.self.text();
  const std::int64_t width = expect_integer(call[0], "the width");
  std::string fill = " ";
  if (call.has(1)) {
    fill = inserted(call, call.text(1));
    if (call.text(1).length != 1) fail("the fill character must be exactly one character long");
  }
  const std::size_t missing =
      width > static_cast<std::int64_t>(text.length) ? static_cast<std::size_t>(width) - text.length : 0;
  std::size_t before = 0;
  if (justify == Justify::right) before = missing;
  // CPython puts the odd one to the left where the width is odd too.
  if (justify == Justify::center) before = missing / 2 + (missing & static_cast<std::size_t>(width) & 1);
  TextBuilder out(call.budget);
  out.repeat(fill, before);
  out.append(text.bytes);
  out.repeat(fill, missing - before);
  return same_kind(call, out.take());
}

Value zero_filled(BuiltinCall& call) {
  const Text& text = call.self.text();
  const std::int64_t width = expect_integer(call[0], "the width");
  std::string_view rest = text.bytes;
  TextBuilder out(call.budget);
  if (!rest.empty() && (rest.front() == '-' || rest.front() == '+')) {
    out.append(rest.front());
    rest.remove_prefix(1);
  }
  if (width > static_cast<std::int64_t>(text.length)) {
    out.repeat("0", static_cast<std::size_t>(width) - text.length);
  }
  out.append(rest);
  return same_kind(call, out.take());
}

Value remove_prefix(BuiltinCall& call) {
  const std::string_view text = call.self.str(), prefix = call.text(0).bytes;
  return piece(call, text.starts_with(prefix) ? text.substr(prefix.size()) : text);
}
Value remove_suffix(BuiltinCall& call) {
  const std::string_view text = call.self.str(), suffix = call.text(0).bytes;
  return piece(call, text.ends_with(suffix) ? text.substr(0, text.size() - suffix.size()) : text);
}

Value expand_tabs(BuiltinCall& call) {
  const std::int64_t size = call.integer(0, 8);
  const std::string_view text = call.self.str();
  call.budget.step_characters(4 * text.size());
  TextBuilder out(call.budget);
  std::int64_t column = 0;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t length = code_point_bytes(text, at);
    if (text[at] == '\t') {
      const std::int64_t blanks = size > 0 ? size - column % size : 0;
      out.repeat(" ", static_cast<std::size_t>(blanks));
      column += blanks;
    } else {
      out.append(text.substr(at, length));
      column = text[at] == '\n' || text[at] == '\r' ? 0 : column + 1;
    }
    at += length;
  }
  return same_kind(call, out.take());
}

constexpr Builtin kTextMethods[] = {
    {"capitalize", "/", converted<python_unicode::capitalize>},
    {"center", "width fill? /", justified<Justify::center>},
    {"expandtabs", "tabsize?", expand_tabs},
    {"join", "iterable /", joined},
    {"ljust", "width fill? /", justified<Justify::left>},
    {"lower", "/", converted<python_unicode::to_lower>},
    {"lstrip", "chars? /", stripped<Side::left>},
    {"partition", "sep /", partition<false>},
    {"removeprefix", "prefix /", remove_prefix},
    {"removesuffix", "suffix /", remove_suffix},
    {"replace", "old new count? /", replaced},
    {"rjust", "width fill? /", justified<Justify::right>},
    {"rpartition", "sep /", partition<true>},
    {"rsplit", "sep? maxsplit?", split<true>},
    {"rstrip", "chars? /", stripped<Side::right>},
    {"split", "sep? maxsplit?", split<false>},
    {"splitlines", "keepends?", split_lines},
    {"strip", "chars? /", stripped<Side::both>},
    {"title", "/", converted<python_unicode::to_title>},
    {"upper", "/", converted<python_unicode::to_upper>},
    {"zfill", "width /", zero_filled},
};

}  // namespace

std::span<const Builtin> text_methods() { return kTextMethods; }

}  // namespace powerhouse::jinja
