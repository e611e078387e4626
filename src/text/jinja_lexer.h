// Template source to tokens: jinja2's lexer with trim_blocks and lstrip_blocks on, as transformers sets it.
//
// White space control, raw blocks and comments end here; the parser sees text, tags and the tokens inside them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace powerhouse::jinja {

enum class TokenKind : std::uint8_t {
  text,
  block_begin,
  block_end,
  print_begin,
  print_end,
  name,
  string,
  integer,
  big_integer,  // digits in `text`, their base in `integer`
  real,
  symbol,  // `text` holds it: "+", "==", "**" ...
  end
};

struct Token {
  TokenKind kind = TokenKind::end;
  std::string text;  // names, symbols, template text, and strings with their escapes read
  std::int64_t integer = 0;
  double real = 0;
  std::uint32_t line = 1;
  std::size_t offset = 0;  // into the normalized source

  bool is_symbol(std::string_view wanted) const { return kind == TokenKind::symbol && text == wanted; }
  bool is_name(std::string_view wanted) const { return kind == TokenKind::name && text == wanted; }
};

/// The source with one kind of line break ("\n") and without a last one. Throws Error{format} where it is no UTF-8.
std::string normalize_source(std::string_view source);

/// Tokens of a normalized source; the last is `end`. Throws Error{format} with line and column.
std::vector<Token> tokenize(std::string_view source);

/// Throws Error{kind} with the line and column of a byte offset.
[[noreturn]] void fail_at(std::string_view source, std::size_t offset, const std::string& message, bool unsupported);

}  // namespace powerhouse::jinja
