#include "text/jinja_lexer.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "powerhouse/error.h"
#include "support/utf8.h"
#include "text/jinja_big_integer.h"
#include "text/jinja_string_literal.h"
#include "text/python_unicode.h"

namespace powerhouse::jinja {
namespace {

constexpr std::size_t kNowhere = std::string_view::npos;

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_ascii_word(char c) { return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }

class Lexer {
 public:
  explicit Lexer(std::string_view source) : source_(source) {}

  std::vector<Token> run() {
    while (at_ < source_.size()) {
      const std::size_t tag = find_tag(at_);
      if (tag == kNowhere) {
        emit_text(source_.substr(at_));
        break;
      }
      open_tag(tag);
    }
    push(TokenKind::end, {}, source_.size());
    return std::move(tokens_);
  }

 private:
  [[noreturn]] void fail(std::size_t offset, const std::string& message, bool unsupported = false) const {
    fail_at(source_, offset, message, unsupported);
  }

  Token& push(TokenKind kind, std::string text, std::size_t offset) {
    for (; counted_ < offset; ++counted_) line_ += source_[counted_] == '\n' ? 1 : 0;
    tokens_.push_back({.kind = kind, .text = std::move(text), .line = line_, .offset = offset});
    return tokens_.back();
  }
  void emit_text(std::string_view text) {
    if (!text.empty()) push(TokenKind::text, std::string(text), static_cast<std::size_t>(text.data() - source_.data()));
  }

  bool starts(std::size_t at, std::string_view wanted) const { return source_.substr(at).starts_with(wanted); }
  std::size_t find_tag(std::size_t from) const {
    for (std::size_t at = source_.find('{', from); at != kNowhere; at = source_.find('{', at + 1)) {
      if (at + 1 < source_.size() && std::string_view("{%#").find(source_[at + 1]) != kNowhere) return at;
    }
    return kNowhere;
  }
  std::size_t skip_space(std::size_t at) const {
    while (at < source_.size()) {
      const Utf8Step step = decode_utf8(source_.substr(at));
      if (!python_unicode::is_space(step.code_point)) break;
      at += step.length;
    }
    return at;
  }
  char sign_at(std::size_t at) const {
    return at < source_.size() && (source_[at] == '-' || source_[at] == '+') ? source_[at] : '\0';
  }

  // The text before a tag, cut as the tag's sign and lstrip_blocks say.
  std::string_view before_tag(std::size_t tag, char sign, bool print) const {
    std::string_view text = source_.substr(at_, tag - at_);
    if (sign == '-') {
      std::size_t kept = 0;  // the end of the last character that is no white space
      for (std::size_t at = 0; at < text.size();) {
        const Utf8Step step = decode_utf8(text.substr(at));
        at += step.length;
        if (!python_unicode::is_space(step.code_point)) kept = at;
      }
      return text.substr(0, kept);
    }
    if (sign == '+' || print) return text;
    const std::size_t newline = text.rfind('\n');
    const std::size_t line_begin = newline == kNowhere ? 0 : newline + 1;
    // `line_starting_`: the previous tag ended with its line, so this text begins one.
    if (line_begin == 0 && !line_starting_) return text;
    const std::size_t tag_offset = at_ + line_begin;
    return skip_space(tag_offset) >= tag ? text.substr(0, line_begin) : text;
  }

  void leave_tag(std::size_t end) {
    line_starting_ = end > 0 && source_[end - 1] == '\n';
    at_ = end;
  }

  // The end of a closing mark ("%}" or "#}") at `at`, with its sign and what it swallows; kNowhere where there is none.
  std::size_t closing(std::size_t at, std::string_view mark) const {
    const char sign = sign_at(at);
    const std::size_t begin = sign == '\0' ? at : at + 1;
    if (!starts(begin, mark)) return kNowhere;
    const std::size_t end = begin + mark.size();
    if (sign == '-') return skip_space(end);
    if (sign == '+') return end;
    return end < source_.size() && source_[end] == '\n' ? end + 1 : end;
  }

  void open_tag(std::size_t tag) {
    const char type = source_[tag + 1];
    const char sign = sign_at(tag + 2);
    const std::size_t inside = tag + (sign == '\0' ? 2 : 3);
    emit_text(before_tag(tag, sign, type == '{'));
    if (type == '#') {
      comment(tag, inside);
    } else if (type == '{') {
      push(TokenKind::print_begin, {}, tag);
      tag_body(inside, true);
    } else if (!raw_block(tag, inside)) {
      push(TokenKind::block_begin, {}, tag);
      tag_body(inside, false);
    }
  }

  void comment(std::size_t tag, std::size_t inside) {
    const std::size_t mark = source_.find("#}", inside);
    if (mark == kNowhere) fail(tag, "a comment without its end");
    leave_tag(closing(mark > inside && sign_at(mark - 1) != '\0' ? mark - 1 : mark, "#}"));
  }

  // {% raw %} ... {% endraw %}; false where the tag is another.
  bool raw_block(std::size_t tag, std::size_t inside) {
    std::size_t at = skip_space(inside);
    if (!starts(at, "raw")) return false;
    at = skip_space(at + 3);
    if (starts(at, "-%}")) {
      at = skip_space(at + 3);
    } else if (starts(at, "%}")) {
      at += 2;
    } else {
      return false;
    }
    leave_tag(at);
    for (std::size_t end = source_.find("{%", at); end != kNowhere; end = source_.find("{%", end + 1)) {
      const char sign = sign_at(end + 2);
      std::size_t name = skip_space(end + (sign == '\0' ? 2 : 3));
      if (!starts(name, "endraw")) continue;
      const std::size_t past = closing(skip_space(name + 6), "%}");
      if (past == kNowhere) continue;
      emit_text(before_tag(end, sign, false));
      leave_tag(past);
      return true;
    }
    fail(tag, "a raw block without its end");
  }

  void tag_body(std::size_t at, bool print) {
    std::string open;  // brackets that wait for their partner
    for (;;) {
      at = skip_space(at);
      if (at >= source_.size()) break;
      if (open.empty()) {
        const std::size_t end = print ? print_end(at) : closing(at, "%}");
        if (end != kNowhere) {
          push(print ? TokenKind::print_end : TokenKind::block_end, {}, at);
          leave_tag(end);
          return;
        }
      }
      at = token(at, open);
    }
    at_ = source_.size();
  }
  std::size_t print_end(std::size_t at) const {
    if (starts(at, "-}}")) return skip_space(at + 3);
    return starts(at, "}}") ? at + 2 : kNowhere;
  }

  std::size_t token(std::size_t at, std::string& open) {
    const char c = source_[at];
    if (is_digit(c)) return number(at);
    if (is_ascii_word(c) || static_cast<unsigned char>(c) >= 0x80) return name(at);
    if (c == '\'' || c == '"') return string(at);
    return symbol(at, open);
  }

  // Digits of a base, an underscore allowed between two; the end of the run.
  template <typename IsDigit>
  std::size_t digits(std::size_t at, IsDigit is_one) const {
    while (at < source_.size()) {
      if (is_one(source_[at])) {
        ++at;
      } else if (source_[at] == '_' && at + 1 < source_.size() && is_one(source_[at + 1])) {
        at += 2;
      } else {
        break;
      }
    }
    return at;
  }

  // The end of a float at `at`, or kNowhere.
  std::size_t float_end(std::size_t at) const {
    if (at > 0 && source_[at - 1] == '.') return kNowhere;
    const std::size_t whole = digits(at, is_digit);
    std::size_t end = whole;
    if (end + 1 < source_.size() && source_[end] == '.' && is_digit(source_[end + 1])) end = digits(end + 1, is_digit);
    if (end < source_.size() && (source_[end] | 0x20) == 'e') {
      std::size_t exponent = end + 1;
      if (sign_at(exponent) != '\0') ++exponent;
      if (exponent < source_.size() && is_digit(source_[exponent])) return digits(exponent, is_digit);
    }
    return end == whole ? kNowhere : end;
  }

  std::size_t number(std::size_t at) {
    if (const std::size_t end = float_end(at); end != kNowhere) {
      std::string text(source_.substr(at, end - at));
      std::erase(text, '_');
      push(TokenKind::real, {}, at).real = std::strtod(text.c_str(), nullptr);
      return end;
    }
    int base = 10;
    std::size_t begin = at, end = at;
    const auto based = [&](char letter, int of, auto is_one) {
      if (base != 10 || source_[at] != '0' || at + 1 >= source_.size() || (source_[at + 1] | 0x20) != letter) return;
      const std::size_t first = at + 2 < source_.size() && source_[at + 2] == '_' ? at + 3 : at + 2;
      if (first >= source_.size() || !is_one(source_[first])) return;
      base = of;
      begin = first;
      end = digits(first, is_one);
    };
    based('b', 2, [](char c) { return c == '0' || c == '1'; });
    based('o', 8, [](char c) { return c >= '0' && c <= '7'; });
    based('x', 16, [](char c) { return is_digit(c) || ((c | 0x20) >= 'a' && (c | 0x20) <= 'f'); });
    if (base == 10) {
      // A leading zero is a number of its own: "007" is no integer of Python's.
      end = source_[at] == '0' ? digits(at, [](char c) { return c == '0'; }) : digits(at, is_digit);
    }
    std::string text(source_.substr(begin, end - begin));
    std::erase(text, '_');
    std::int64_t value = 0;
    if (std::from_chars(text.data(), text.data() + text.size(), value, base).ec == std::errc()) {
      push(TokenKind::integer, {}, at).integer = value;
      return end;
    }
    // Beyond 64 bits: the parser reads the digits.
    if (text.size() > BigInteger::kMaxPrintedDigits) fail(at, "an integer of more than 4300 digits");
    push(TokenKind::big_integer, std::move(text), at).integer = base;
    return end;
  }

  std::size_t name(std::size_t at) {
    std::size_t end = at;
    while (end < source_.size()) {
      if (static_cast<unsigned char>(source_[end]) < 0x80) {
        if (!is_ascii_word(source_[end])) break;
        ++end;
        continue;
      }
      const Utf8Step step = decode_utf8(source_.substr(end));
      if (!python_unicode::is_alphabetic(step.code_point) && !python_unicode::is_decimal(step.code_point)) break;
      end += step.length;
    }
    if (end == at || python_unicode::is_decimal(decode_utf8(source_.substr(at)).code_point)) {
      fail(at, "an unexpected character");
    }
    push(TokenKind::name, std::string(source_.substr(at, end - at)), at);
    return end;
  }

  std::size_t string(std::size_t at) {
    const char quote = source_[at];
    std::size_t end = at + 1;
    while (end < source_.size() && source_[end] != quote) end += source_[end] == '\\' ? 2 : 1;
    if (end >= source_.size()) fail(at, "a string without its end");
    std::string problem;
    const auto text = read_string_literal(source_.substr(at + 1, end - at - 1), problem);
    if (!text) fail(at, problem, problem.starts_with("\\N"));
    push(TokenKind::string, *text, at);
    return end + 1;
  }

  std::size_t symbol(std::size_t at, std::string& open) {
    static constexpr std::array<std::string_view, 26> kSymbols = {"//", "**", "==", "!=", ">=", "<=", "+", "-", "/",
                                                                  "*",  "%",  "~",  "[",  "]",  "(",  ")", "{", "}",
                                                                  ">",  "<",  "=",  ".",  ":",  "|",  ",", ";"};
    const auto* found = std::find_if(kSymbols.begin(), kSymbols.end(), [&](auto s) { return starts(at, s); });
    if (found == kSymbols.end()) fail(at, "an unexpected character");
    const char c = (*found)[0];
    if (found->size() == 1 && std::string_view("([{").find(c) != kNowhere) {
      open += c == '(' ? ')' : c == '[' ? ']' : '}';
    } else if (found->size() == 1 && std::string_view(")]}").find(c) != kNowhere) {
      if (open.empty()) fail(at, std::string("an unexpected '") + c + "'");
      if (open.back() != c) fail(at, std::string("an unexpected '") + c + "', expected '" + open.back() + "'");
      open.pop_back();
    }
    push(TokenKind::symbol, std::string(*found), at);
    return at + found->size();
  }

  std::string_view source_;
  std::vector<Token> tokens_;
  std::size_t at_ = 0;
  std::size_t counted_ = 0;  // how far newlines are counted
  std::uint32_t line_ = 1;
  bool line_starting_ = true;
};

}  // namespace

std::string normalize_source(std::string_view source) {
  if (const auto bad = find_invalid_utf8(source)) {
    throw Error(ErrorKind::format, "invalid UTF-8",
                {.field = "chat template, byte " + std::to_string(*bad), .expected = "UTF-8"});
  }
  std::string out;
  out.reserve(source.size());
  for (std::size_t at = 0; at < source.size(); ++at) {
    if (source[at] == '\r') {
      out += '\n';
      if (at + 1 < source.size() && source[at + 1] == '\n') ++at;
    } else {
      out += source[at];
    }
  }
  if (!out.empty() && out.back() == '\n') out.pop_back();
  return out;
}

std::vector<Token> tokenize(std::string_view source) { return Lexer(source).run(); }

void fail_at(std::string_view source, std::size_t offset, const std::string& message, bool unsupported) {
  const std::string_view before = source.substr(0, offset);
  const auto line = 1 + std::count(before.begin(), before.end(), '\n');
  const std::size_t newline = before.rfind('\n');
  std::size_t column = 1;
  for (const char c : before.substr(newline == kNowhere ? 0 : newline + 1)) {
    column += (static_cast<unsigned char>(c) & 0xC0) == 0x80 ? 0 : 1;
  }
  throw Error(unsupported ? ErrorKind::unsupported : ErrorKind::format, message,
              {.field = "chat template, line " + std::to_string(line) + ", column " + std::to_string(column)});
}

}  // namespace powerhouse::jinja
