#include "text/regex_syntax.h"

#include "powerhouse/error.h"
#include "text/unicode.h"

namespace powerhouse {
namespace {

[[noreturn]] void refuse_construct(std::string_view construct, std::string_view pattern) {
  throw Error(ErrorKind::unsupported, "a regular expression uses what is not built",
              {.field = "pattern \"" + std::string(pattern.substr(0, 200)) + "\"", .found = std::string(construct)});
}

// \w. Outside of classes Oniguruma counts the six numbers of Latin-1 that are no digits as well.
constexpr std::string_view kWordInClass = R"(\p{Alphabetic}\p{M}\p{Nd}\p{Pc})";
constexpr std::string_view kWord = R"(\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\x{B2}\x{B3}\x{B9}\x{BC}-\x{BE})";

class Translator {
 public:
  explicit Translator(std::string_view pattern) : pattern_(pattern) {}

  std::string run() {
    while (at_ < pattern_.size()) {
      const char c = pattern_[at_];
      if (c == '\\') {
        escape();
      } else if (in_class_) {
        class_character(c);
      } else if (c == '[') {
        open_class();
      } else if (c == '(') {
        group();
      } else if (c == '}') {
        close_brace();
      } else {
        copy();
      }
    }
    return std::move(out_);
  }

 private:
  void copy() { out_ += pattern_[at_++]; }
  bool next_is(std::string_view text) const { return pattern_.substr(at_).starts_with(text); }

  void escape() {
    if (at_ + 1 == pattern_.size()) refuse_construct("a backslash at the end", pattern_);
    const char name = pattern_[at_ + 1];
    const auto replace = [&](std::string_view outside, std::string_view inside) {
      if (in_class_ && inside.empty()) refuse_construct(std::string("[\\") + name + "]", pattern_);
      out_ += in_class_ ? inside : outside;
      at_ += 2;
    };
    switch (name) {
      case 's': return replace(R"(\p{White_Space})", R"(\p{White_Space})");
      case 'S': return replace(R"(\P{White_Space})", R"(\P{White_Space})");
      case 'w': return replace("[" + std::string(kWord) + "]", kWordInClass);
      case 'W': return replace("[^" + std::string(kWord) + "]", "");
      case 'h': return replace("[0-9a-fA-F]", "0-9a-fA-F");
      case 'H': return replace("[^0-9a-fA-F]", "");
      // Word boundaries follow \w, which PCRE2 draws otherwise; the rest are Ruby's alone or differ.
      case 'b':
      case 'B':
        if (in_class_) refuse_construct("[\\b]", pattern_);
        return boundary(name == 'b');
      case 'R':
      case 'X':
      case 'K':
      case 'G':
      case 'g':
      case 'k':
      case 'y':
      case 'Y':
      case 'O':
      case 'N':
      case 'Q':
      case 'E':
      case 'C':
      case 'M':
      case 'c':
      case 'v':
      case 'V':
      case 'o':
      case 'Z': refuse_construct(std::string("\\") + name, pattern_);
      case 'u': return code_unit();
      case 'p':
      case 'P':
      case 'x': return braced();
      default:
        copy();  // the backslash and the character, which is never one that opens something
        copy();
    }
  }

  void boundary(bool positive) {
    const std::string word = "[" + std::string(kWord) + "]";
    out_ += positive ? "(?:(?<=" + word + ")(?!" + word + ")|(?<!" + word + ")(?=" + word + "))"
                     : "(?:(?<=" + word + ")(?=" + word + ")|(?<!" + word + ")(?!" + word + "))";
    at_ += 2;
  }

  // \p{...}, \x{...}: up to the brace, which is no quantifier's; or \xHH.
  void braced() {
    const std::size_t end = pattern_.find('}', at_);
    const std::size_t size =
        pattern_.substr(at_ + 2).starts_with('{') && end != std::string_view::npos ? end + 1 - at_ : 2;
    out_ += pattern_.substr(at_, size);
    at_ += size;
  }

  // \uHHHH
  void code_unit() {
    const std::string_view digits = pattern_.substr(at_ + 2, 4);
    if (digits.size() != 4 || digits.find_first_not_of("0123456789abcdefABCDEF") != std::string_view::npos) {
      refuse_construct("\\u without four digits", pattern_);
    }
    out_ += "\\x{" + std::string(digits) + "}";
    at_ += 6;
  }

  void open_class() {
    in_class_ = true;
    copy();
    if (next_is("^")) copy();
    if (next_is("]")) refuse_construct("an empty class", pattern_);
  }

  void class_character(char c) {
    if (c == '[') {
      if (next_is("[:")) refuse_construct("a POSIX class", pattern_);
      refuse_construct("a class within a class", pattern_);
    }
    if (next_is("&&")) refuse_construct("&& in a class", pattern_);
    if (c == ']') in_class_ = false;
    copy();
  }

  void group() {
    copy();
    if (next_is("*")) refuse_construct("(*", pattern_);
    if (!next_is("?")) return;
    for (const std::string_view same : {"?:", "?=", "?!", "?<=", "?<!", "?>", "?i:", "?-i:"}) {
      if (next_is(same)) {
        out_ += same;
        at_ += same.size();
        return;
      }
    }
    if (next_is("?i)") && at_ == 1) {  // elsewhere Ruby's scope is another than PCRE2's
      out_ += "?i)";
      at_ += 3;
      return;
    }
    refuse_construct("(" + std::string(pattern_.substr(at_, 3)), pattern_);
  }

  // {2}+ repeats again in Ruby and is possessive in PCRE2.
  void close_brace() {
    copy();
    if (next_is("+")) refuse_construct("}+", pattern_);
  }

  std::string_view pattern_;
  std::size_t at_ = 0;
  bool in_class_ = false;
  std::string out_;
};

}  // namespace

std::string pcre_from_oniguruma(std::string_view pattern) { return Translator(pattern).run(); }

}  // namespace powerhouse
