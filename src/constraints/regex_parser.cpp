#include "constraints/regex_parser.h"

#include <algorithm>
#include <optional>
#include <string>

#include "constraints/regex_classes.h"
#include "powerhouse/error.h"
#include "support/hex_digit.h"
#include "support/utf8.h"

namespace powerhouse::constraints {
namespace {

constexpr int kMaxPatternDepth = 200;

class RegexParser {
 public:
  RegexParser(std::string_view pattern, RegexDialect dialect) : pattern_(pattern), dialect_(dialect) {
    if (const auto offset = find_invalid_utf8(pattern)) {
      at_ = *offset;
      fail("a pattern is not valid UTF-8", "");
    }
  }

  RegexTree run() {
    RegexTree tree = alternatives(0);
    if (at_ < pattern_.size()) fail("a group is closed that was not opened", ")");
    return tree;
  }

 private:
  [[noreturn]] void fail(std::string_view what, std::string_view found, ErrorKind kind = ErrorKind::format) const {
    throw Error(kind, what, {.field = "pattern, character " + std::to_string(at_ + 1), .found = std::string(found)});
  }
  [[noreturn]] void refuse(std::string_view construct) const {
    fail("a regular expression uses what is not regular, or not built", construct, ErrorKind::unsupported);
  }
  // What ECMAScript takes for letters has two meanings in a schema.
  void python_only(std::size_t start, std::string_view construct) {
    if (dialect_ != RegexDialect::python) at_ = start, refuse(std::string(construct) + ", letters in ECMAScript");
  }
  bool done() const { return at_ >= pattern_.size(); }
  bool next_is(std::string_view text) const { return pattern_.substr(at_).starts_with(text); }
  bool take(std::string_view text) {
    if (!next_is(text)) return false;
    at_ += text.size();
    return true;
  }
  char32_t character() {
    const Utf8Step step = decode_utf8(pattern_.substr(at_));
    at_ += step.length;
    return step.code_point;
  }
  static RegexTree of(CodePoints set) { return {.kind = RegexTree::Kind::set, .set = std::move(set)}; }

  RegexTree alternatives(int depth) {
    if (depth > kMaxPatternDepth) fail("groups are nested too deeply", "(");
    RegexTree out{.kind = RegexTree::Kind::choice};
    do {
      out.parts.push_back(sequence(depth));
    } while (take("|"));
    return out.parts.size() == 1 ? RegexTree(std::move(out.parts[0])) : out;
  }

  RegexTree sequence(int depth) {
    RegexTree out;
    while (!done() && !next_is("|") && !next_is(")")) {
      if (take("(?#")) {
        at_ = pattern_.find(')', at_);
        if (at_ == std::string_view::npos) at_ = pattern_.size(), fail("a comment is not closed", "(?#");
        ++at_;
        continue;
      }
      RegexTree part = atom(depth);
      out.parts.push_back(quantified(std::move(part)));
    }
    return out;
  }

  RegexTree quantified(RegexTree part) {
    for (bool first = true;; first = false) {
      const std::size_t before = at_;
      std::uint64_t low = 0, high = Grammar::kUnbounded;
      if (take("*")) {
      } else if (take("+")) {
        low = 1;
      } else if (take("?")) {
        high = 1;
      } else if (!counts(low, high)) {
        return part;
      }
      if (!first) at_ = before, fail("a repetition is repeated", pattern_.substr(at_, 1));
      if (part.kind == RegexTree::Kind::begin || part.kind == RegexTree::Kind::end)
        at_ = before, fail("an anchor is repeated", pattern_.substr(at_, 1));
      if (next_is("+")) refuse("a possessive repetition");
      take("?");  // lazy: the same texts
      RegexTree out{.kind = RegexTree::Kind::repeat, .low = low, .high = high};
      out.parts.push_back(std::move(part));
      part = std::move(out);
    }
  }

  // {m}, {m,}, {m,n}, and Python's {,n} and {,}, which are letters in ECMAScript; anything else is a brace.
  bool counts(std::uint64_t& low, std::uint64_t& high) {
    const std::size_t before = at_;
    if (!take("{")) return false;
    const std::optional<std::uint64_t> first = number();
    const bool comma = take(",");
    const std::optional<std::uint64_t> second = comma ? number() : first;
    if (!take("}") || (!first && !comma)) {
      at_ = before;
      return false;
    }
    if (!first) python_only(before, "{,");
    low = first.value_or(0);
    high = second.value_or(Grammar::kUnbounded);
    if (low > high) at_ = before, fail("a repetition's bounds are reversed", pattern_.substr(before, 12));
    if ((high == Grammar::kUnbounded ? low : high) > Grammar::kMaxCount) {
      at_ = before;
      fail("a repetition explodes", pattern_.substr(before, 24), ErrorKind::range);
    }
    return true;
  }

  std::optional<std::uint64_t> number() {
    const std::size_t start = at_;
    std::uint64_t value = 0;
    for (; !done() && pattern_[at_] >= '0' && pattern_[at_] <= '9'; ++at_) {
      value = std::min<std::uint64_t>(value * 10 + static_cast<std::uint64_t>(pattern_[at_] - '0'), 1'000'000'000);
    }
    return at_ > start ? std::optional(value) : std::nullopt;
  }

  RegexTree atom(int depth) {
    const char c = pattern_[at_];
    switch (c) {
      case '(': return group(depth);
      case '[': return character_class();
      case '.': ++at_; return of(any_but_line_ends(dialect_));
      case '^': ++at_; return {.kind = RegexTree::Kind::begin};
      case '$': ++at_; return {.kind = RegexTree::Kind::end};
      case '*':
      case '+':
      case '?': fail("there is nothing to repeat", std::string_view(&c, 1));
      case '\\': return escape();
      default: break;
    }
    std::uint64_t low = 0, high = 0;
    if (c == '{' && counts(low, high)) fail("there is nothing to repeat", "{");
    return of(CodePoints::of(character()));
  }

  RegexTree group(int depth) {
    const std::size_t open = at_;
    ++at_;
    if (take("?")) {
      for (const std::string_view look : {"=", "!", "<=", "<!"}) {
        if (next_is(look)) refuse("a lookaround");
      }
      if (take("P<") || take("<")) {
        const std::size_t end = pattern_.find('>', at_);
        if (end == std::string_view::npos || end == at_) fail("a group's name is malformed", "(?<");
        at_ = end + 1;
      } else if (next_is("P=")) {
        refuse("a reference back");
      } else if (!take(":")) {
        refuse("(?" + std::string(pattern_.substr(at_, 1)));
      }
    }
    RegexTree tree = alternatives(depth + 1);
    if (!take(")")) at_ = open, fail("a group is not closed", "(");
    return tree;
  }

  RegexTree escape() {
    const std::size_t start = at_++;
    if (done()) fail("a backslash stands at the end", "");
    const char name = pattern_[at_];
    switch (name) {
      case 'd':
      case 'D':
      case 'w':
      case 'W':
      case 's':
      case 'S': ++at_; return of(shorthand(name, dialect_, dialect_ == RegexDialect::beyond));
      case 'A':
      case 'Z':
      case 'z':
        python_only(start, pattern_.substr(start, 2));
        ++at_;
        return {.kind = name == 'A' ? RegexTree::Kind::begin : RegexTree::Kind::end};
      case 'b':
      case 'B': at_ = start, refuse("a word boundary");
      case 'k': at_ = start, refuse("a reference back");
      default: break;
    }
    if (name >= '1' && name <= '9') at_ = start, refuse("a reference back");
    if (name == 'p' || name == 'P') return of(property());
    return of(CodePoints::of(escaped_character()));
  }

  // \p{Lu}, \P{L}; `at_` is at the letter.
  CodePoints property() {
    const bool negated = pattern_[at_++] == 'P';
    const std::size_t end = pattern_.find('}', at_);
    if (!next_is("{") || end == std::string_view::npos) fail("\\p has no {name}", pattern_.substr(at_, 1));
    std::string_view name = pattern_.substr(at_ + 1, end - at_ - 1);
    for (const std::string_view key : {"gc=", "General_Category="}) {
      if (name.starts_with(key)) name.remove_prefix(key.size());
    }
    const auto set = category_set(name);
    if (!set) refuse("\\p{" + std::string(name) + "}");
    at_ = end + 1;
    return negated ? set->complement() : *set;
  }

  // A single character; `at_` is behind the backslash.
  char32_t escaped_character() {
    const std::size_t start = at_ - 1;
    const char name = pattern_[at_];
    const bool letter = (name >= 'a' && name <= 'z') || (name >= 'A' && name <= 'Z') || (name >= '0' && name <= '9');
    if (!letter) return character();
    ++at_;
    if (name == 'a' || name == 'U') python_only(start, pattern_.substr(start, 2));
    switch (name) {
      case 'n': return '\n';
      case 'r': return '\r';
      case 't': return '\t';
      case 'f': return '\f';
      case 'v': return '\v';
      case 'a': return '\a';
      case '0': return octal();
      case 'x': return digits(2, start);
      case 'U': return digits(8, start);
      case 'u': {
        if (next_is("{")) {
          const std::size_t end = pattern_.find('}', at_);
          if (end == std::string_view::npos || end - at_ < 2 || end - at_ > 9) break;
          ++at_;
          const char32_t value = digits(end - at_, start);
          ++at_;
          return value;
        }
        const char32_t first = digits(4, start, true);
        if (first < 0xD800 || first > 0xDFFF) return first;
        char32_t second = 0;
        if (first < 0xDC00 && take("\\u")) second = digits(4, start, true);
        if (second < 0xDC00 || second > 0xDFFF) at_ = start, fail("half a surrogate pair is no character", "\\u");
        return 0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00);
      }
      default: break;
    }
    at_ = start;
    fail("an escape is not known", pattern_.substr(start, 2));
  }

  // Up to two more digits behind \0.
  char32_t octal() {
    char32_t value = 0;
    for (int i = 0; i < 2 && !done() && pattern_[at_] >= '0' && pattern_[at_] <= '7'; ++i, ++at_) {
      value = value * 8 + static_cast<char32_t>(pattern_[at_] - '0');
    }
    return value;
  }

  char32_t digits(std::size_t count, std::size_t start, bool surrogates = false) {
    char32_t value = 0;
    for (std::size_t i = 0; i < count; ++i, ++at_) {
      const int digit = done() ? -1 : hex_digit(pattern_[at_]);
      if (digit < 0) at_ = start, fail("an escape has too few hexadecimal digits", pattern_.substr(start, 2));
      value = value * 16 + static_cast<char32_t>(digit);
    }
    if (value > 0x10FFFF || (!surrogates && value >= 0xD800 && value <= 0xDFFF)) {
      at_ = start;
      fail("an escape names no character", pattern_.substr(start, 2));
    }
    return value;
  }

  struct ClassItem {
    CodePoints set;
    std::optional<char32_t> single{};
  };

  ClassItem class_item(bool beyond) {
    if (next_is("[:")) refuse("a POSIX class");
    if (!take("\\")) {
      const char32_t c = character();
      return {CodePoints::of(c), c};
    }
    if (done()) fail("a backslash stands at the end", "");
    const char name = pattern_[at_];
    if (name == 'p' || name == 'P') return {property()};
    if (std::string_view("dDwWsS").find(name) != std::string_view::npos) {
      ++at_;
      return {shorthand(name, dialect_, beyond)};
    }
    if (name >= '1' && name <= '9') refuse("an octal escape");
    if (name == 'b') {
      ++at_;
      return {CodePoints::of('\b'), U'\b'};
    }
    const char32_t c = escaped_character();
    return {CodePoints::of(c), c};
  }

  RegexTree character_class() {
    const std::size_t open = at_++;
    const bool negated = take("^");
    const bool beyond = (dialect_ == RegexDialect::beyond) != negated;
    std::vector<CodePoints::Range> set;
    const auto add = [&](const CodePoints& more) { set.insert(set.end(), more.ranges().begin(), more.ranges().end()); };
    for (bool first = true; first || !next_is("]"); first = false) {
      // Python takes the bracket for a character, ECMAScript for the end of an empty class.
      if (first && next_is("]") && dialect_ != RegexDialect::python) refuse("a class that begins with ]");
      if (done()) at_ = open, fail("a class is not closed", "[");
      if (next_is("--") || next_is("&&") || next_is("~~") || next_is("||")) refuse("an operation on sets");
      const std::size_t start = at_;
      const ClassItem item = class_item(beyond);
      // ECMAScript takes the hyphen of [\w-.] for itself.
      const bool lone = !item.single && dialect_ != RegexDialect::python;
      if (!next_is("-") || next_is("-]") || at_ + 1 >= pattern_.size() || lone) {
        add(item.set);
        continue;
      }
      ++at_;
      const ClassItem last = class_item(beyond);
      if (!item.single || !last.single || *item.single > *last.single) {
        at_ = start;
        fail("a range is malformed", pattern_.substr(start, 8));
      }
      set.push_back({*item.single, *last.single});
    }
    ++at_;
    const CodePoints all(std::move(set));
    return of(negated ? all.complement() : all);
  }

  std::string_view pattern_;
  RegexDialect dialect_;
  std::size_t at_ = 0;
};

}  // namespace

RegexTree parse_regex(std::string_view pattern, RegexDialect dialect) { return RegexParser(pattern, dialect).run(); }

}  // namespace powerhouse::constraints
