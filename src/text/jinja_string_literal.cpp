#include "text/jinja_string_literal.h"

#include <cstdio>

#include "support/hex_digit.h"
#include "support/utf8.h"

namespace powerhouse::jinja {
namespace {

char simple_escape(char c) {
  switch (c) {
    case 'a': return '\a';
    case 'b': return '\b';
    case 'f': return '\f';
    case 'n': return '\n';
    case 'r': return '\r';
    case 't': return '\t';
    case 'v': return '\v';
    case '\\':
    case '\'':
    case '"': return c;
    default: return '\0';
  }
}

}  // namespace

std::optional<std::string> read_string_literal(std::string_view body, std::string& problem) {
  std::string out;
  out.reserve(body.size());
  for (std::size_t at = 0; at < body.size();) {
    if (body[at] != '\\') {
      out += body[at++];
      continue;
    }
    const char c = body[++at];  // the lexer never ends a literal on a backslash
    if (const char plain = simple_escape(c); plain != '\0') {
      out += plain;
      ++at;
    } else if (c == '\n') {
      ++at;
    } else if (c >= '0' && c <= '7') {
      char32_t value = 0;
      for (int i = 0; i < 3 && at < body.size() && body[at] >= '0' && body[at] <= '7'; ++i) {
        value = value * 8 + static_cast<char32_t>(body[at++] - '0');
      }
      append_utf8(out, value);
    } else if (c == 'x' || c == 'u' || c == 'U') {
      const int wanted = c == 'x' ? 2 : c == 'u' ? 4 : 8;
      char32_t value = 0;
      ++at;
      for (int i = 0; i < wanted; ++i, ++at) {
        const int digit = at < body.size() ? hex_digit(body[at]) : -1;
        if (digit < 0) {
          problem = std::string("a cut \\") + c + " escape";
          return std::nullopt;
        }
        value = value << 4 | static_cast<char32_t>(digit);
      }
      if (value > 0x10FFFF || (value >= 0xD800 && value < 0xE000)) {
        problem = "an escape of no Unicode character";
        return std::nullopt;
      }
      append_utf8(out, value);
    } else if (c == 'N') {
      problem = "\\N escapes";
      return std::nullopt;
    } else if (static_cast<unsigned char>(c) >= 0x80) {
      // jinja2 first writes non-ASCII letters as escapes; the backslash before one then escapes theirs.
      const Utf8Step step = decode_utf8(body.substr(at));
      const auto value = static_cast<unsigned>(step.code_point);
      char digits[12];
      std::snprintf(digits, sizeof digits, value < 0x100 ? "x%02x" : value < 0x10000 ? "u%04x" : "U%08x", value);
      out += '\\';
      out += digits;
      at += step.length;
    } else {
      out += '\\';
      out += c;
      ++at;
    }
  }
  return out;
}

}  // namespace powerhouse::jinja
