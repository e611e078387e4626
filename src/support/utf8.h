// UTF-8: one decoder for everyone. Overlong forms, surrogates and values above U+10FFFF are invalid.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace powerhouse {

struct Utf8Step {
  char32_t code_point = 0;
  std::size_t length = 0;  // bytes used; where invalid, those of the maximal invalid prefix (at least 1)
  bool valid = false;
  bool incomplete = false;  // invalid only because the text ends inside a sequence that could go on
};

/// Decodes one code point at the front of non-empty `text`.
Utf8Step decode_utf8(std::string_view text) noexcept;

/// The byte offset of the first invalid sequence, or nothing.
std::optional<std::size_t> find_invalid_utf8(std::string_view text) noexcept;

void append_utf8(std::string& out, char32_t code_point);

/// Appends text from untrusted files so that it can't act on a terminal or start a line: a line feed becomes \n, every
/// other control character (C0, C1, delete) a question mark.
void append_printable(std::string& out, std::string_view text);

/// Each maximal invalid prefix becomes one U+FFFD (Unicode's recommended practice, as Python and Rust do).
std::string replace_invalid_utf8(std::string_view text);

}  // namespace powerhouse
