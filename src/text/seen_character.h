// A look at one character of a text, as splitters need it.
#pragma once

#include <cstddef>
#include <string_view>

#include "text/unicode.h"

namespace powerhouse {

/// The character at a place of the text, or the end of the text (length 0), which is of no class.
struct SeenCharacter {
  char32_t code_point = 0;
  std::size_t length = 0;
  unicode::Class kind = unicode::Class::other;

  bool is(unicode::Class wanted) const { return length != 0 && kind == wanted; }
  bool is_newline() const { return length != 0 && (code_point == '\r' || code_point == '\n'); }
};

inline SeenCharacter look(std::string_view text, std::size_t at) {
  if (at >= text.size()) return {};
  const auto [code_point, length] = unicode::character_at(text, at);
  return {code_point, length, unicode::classify(code_point)};
}

}  // namespace powerhouse
