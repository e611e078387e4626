#include "constraints/gbnf.h"

#include <algorithm>
#include <string>
#include <unordered_map>

#include "powerhouse/error.h"
#include "support/hex_digit.h"
#include "support/utf8.h"

namespace powerhouse::constraints {
namespace {

constexpr int kMaxGrammarDepth = 200;

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_word(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' || is_digit(c); }

class GbnfParser {
 public:
  GbnfParser(std::string_view text, const Tokenizer* tokenizer) : text_(text), tokenizer_(tokenizer) {
    if (const auto offset = find_invalid_utf8(text)) fail("a grammar is not valid UTF-8", *offset);
  }

  Grammar run() {
    space(true);
    while (!done()) rule();
    const Name* undefined = nullptr;
    for (const auto& [name, known] : names_) {
      const bool first = undefined == nullptr || known.place < undefined->place;
      if (!grammar_.rules()[known.rule].defined && first) undefined = &known;
    }
    if (undefined != nullptr) {
      fail("rule " + grammar_.rules()[undefined->rule].name + " is not defined", undefined->place);
    }
    const auto root = names_.find("root");
    if (root == names_.end()) {
      throw Error(ErrorKind::format, "a grammar has no rule root", {.field = "root", .expected = "root ::= ..."});
    }
    grammar_.root = root->second.rule;
    return std::move(grammar_);
  }

 private:
  struct Name {
    RuleId rule;
    std::size_t place;  // where it was met first
  };

  [[noreturn]] void fail(std::string_view what, std::size_t place, ErrorKind kind = ErrorKind::format) const {
    const std::string_view before = text_.substr(0, place);
    const auto line = 1 + std::count(before.begin(), before.end(), '\n');
    const std::size_t begin = before.rfind('\n') == std::string_view::npos ? 0 : before.rfind('\n') + 1;
    std::size_t column = 1;
    for (std::size_t at = begin; at < place; ++column) at += decode_utf8(text_.substr(at)).length;
    std::string found;
    if (place < text_.size()) append_printable(found, text_.substr(place, decode_utf8(text_.substr(place)).length));
    throw Error(kind, what,
                {.field = "line " + std::to_string(line) + ", column " + std::to_string(column),
                 .found = place < text_.size() ? found : "the end"});
  }
  [[noreturn]] void expected(std::string_view what) const {
    fail("a grammar needs " + std::string(what) + " here", at_);
  }

  bool done() const { return at_ >= text_.size(); }
  bool next_is(char c) const { return !done() && text_[at_] == c; }
  bool take(char c) {
    if (!next_is(c)) return false;
    ++at_;
    return true;
  }

  void space(bool newlines) {
    while (!done()) {
      const char c = text_[at_];
      if (c == '#') {
        while (!done() && text_[at_] != '\n' && text_[at_] != '\r') ++at_;
      } else if (c == ' ' || c == '\t' || (newlines && (c == '\n' || c == '\r'))) {
        ++at_;
      } else {
        return;
      }
    }
  }

  std::string word() {
    const std::size_t start = at_;
    while (!done() && is_word(text_[at_])) ++at_;
    if (at_ == start) expected("a rule's name");
    return std::string(text_.substr(start, at_ - start));
  }

  RuleId rule_of(const std::string& name, std::size_t place) {
    const auto found = names_.find(name);
    if (found != names_.end()) return found->second.rule;
    const RuleId rule = grammar_.add_rule(name);
    names_.emplace(name, Name{rule, place});
    return rule;
  }

  void rule() {
    const std::size_t place = at_;
    const RuleId rule = rule_of(word(), place);
    if (grammar_.rules()[rule].defined) fail("a rule is defined twice", place);
    space(false);
    if (!text_.substr(at_).starts_with("::=")) expected("::=");
    at_ += 3;
    space(true);
    grammar_.define(rule, alternatives(0));
    if (take('\r')) {
      take('\n');
    } else if (!take('\n') && !done()) {
      expected("the end of the line");
    }
    space(true);
  }

  ExprId alternatives(int depth) {
    if (depth > kMaxGrammarDepth) fail("groups are nested too deeply", at_);
    std::vector<ExprId> parts{sequence(depth)};
    while (take('|')) {
      space(true);
      parts.push_back(sequence(depth));
    }
    return grammar_.choice(std::move(parts));
  }

  ExprId sequence(int depth) {
    const bool nested = depth > 0;
    std::vector<ExprId> parts;
    while (!done()) {
      const char c = text_[at_];
      if (c == '*' || c == '+' || c == '?' || c == '{') {
        if (parts.empty()) expected("something to repeat");
        parts.back() = repetition(parts.back(), nested);
      } else if (c == '"') {
        parts.push_back(literal());
      } else if (c == '[') {
        parts.push_back(characters());
      } else if (c == '.') {
        ++at_;
        parts.push_back(grammar_.characters(CodePoints::all()));
      } else if (c == '<' || c == '!') {
        parts.push_back(token());
      } else if (c == '(') {
        const std::size_t open = at_++;
        space(true);
        parts.push_back(alternatives(depth + 1));
        if (!take(')')) fail("a group is not closed", open);
      } else if (is_word(c)) {
        const std::size_t place = at_;
        parts.push_back(grammar_.call(rule_of(word(), place)));
      } else {
        break;
      }
      space(nested);
    }
    return grammar_.sequence(std::move(parts));
  }

  ExprId repetition(ExprId what, bool nested) {
    const std::size_t place = at_;
    const char c = text_[at_++];
    if (c == '*') return grammar_.repeat(what, 0, Grammar::kUnbounded);
    if (c == '+') return grammar_.repeat(what, 1, Grammar::kUnbounded);
    if (c == '?') return grammar_.repeat(what, 0, 1);
    space(nested);
    const std::uint64_t low = number();
    std::uint64_t high = low;
    space(nested);
    if (take(',')) {
      space(nested);
      high = !done() && is_digit(text_[at_]) ? number() : Grammar::kUnbounded;
      space(nested);
    }
    if (!take('}')) expected("}");
    if (high < low) fail("a repetition's bounds are reversed", place);
    if ((high == Grammar::kUnbounded ? low : high) > Grammar::kMaxCount) {
      fail("a repetition explodes: at most " + std::to_string(Grammar::kMaxCount) + " times", place, ErrorKind::range);
    }
    return grammar_.repeat(what, low, high);
  }

  std::uint64_t number() {
    if (done() || !is_digit(text_[at_])) expected("a number");
    std::uint64_t value = 0;
    for (; !done() && is_digit(text_[at_]); ++at_) {
      value =
          std::min<std::uint64_t>(value * 10 + static_cast<std::uint64_t>(text_[at_] - '0'), std::uint64_t{1} << 40);
    }
    return value;
  }

  char32_t character() {
    if (done()) expected("a character");
    const std::size_t start = at_;
    if (!take('\\')) {
      const Utf8Step step = decode_utf8(text_.substr(at_));
      at_ += step.length;
      return step.code_point;
    }
    if (done()) expected("an escape");
    const char name = text_[at_++];
    switch (name) {
      case 'x': return digits(2, start);
      case 'u': return digits(4, start);
      case 'U': return digits(8, start);
      case 't': return '\t';
      case 'r': return '\r';
      case 'n': return '\n';
      case '\\':
      case '"':
      case '[':
      case ']':
      case '-': return static_cast<char32_t>(name);
      default: fail("an escape is not known", start);
    }
  }

  char32_t digits(int count, std::size_t start) {
    std::uint64_t value = 0;
    for (int i = 0; i < count; ++i, ++at_) {
      const int digit = done() ? -1 : hex_digit(text_[at_]);
      if (digit < 0) fail("an escape has too few hexadecimal digits", start);
      value = value * 16 + static_cast<std::uint64_t>(digit);
    }
    if (value > 0x10FFFF || (value >= 0xD800 && value <= 0xDFFF)) fail("an escape names no character", start);
    return static_cast<char32_t>(value);
  }

  ExprId literal() {
    const std::size_t open = at_++;
    std::string bytes;
    while (!next_is('"')) {
      if (done()) fail("a text is not closed", open);
      append_utf8(bytes, character());
    }
    ++at_;
    return grammar_.literal(bytes);
  }

  ExprId characters() {
    const std::size_t open = at_++;
    const bool negated = take('^');
    std::vector<CodePoints::Range> ranges;
    while (!next_is(']')) {
      if (done()) fail("a class of characters is not closed", open);
      const std::size_t start = at_;
      const char32_t low = character();
      char32_t high = low;
      if (next_is('-') && at_ + 1 < text_.size() && text_[at_ + 1] != ']') {
        ++at_;
        high = character();
      }
      if (high < low) fail("a range's ends are reversed", start);
      ranges.push_back({low, high});
    }
    if (ranges.empty()) fail("a class of characters is empty", open);
    ++at_;
    const CodePoints set(std::move(ranges));
    return grammar_.characters(negated ? set.complement() : set);
  }

  // <[id]>, <text>, and ! before either.
  ExprId token() {
    const bool negated = take('!');
    const std::size_t open = at_;
    if (!take('<')) expected("<");
    if (take('[')) {
      const std::uint64_t id = number();
      if (!take(']') || !take('>')) expected("]>");
      const std::uint64_t size = tokenizer_ == nullptr ? std::uint64_t{1} << 31 : tokenizer_->vocab_size();
      if (id >= size) fail("no token has this id", open, ErrorKind::range);
      return grammar_.token(static_cast<std::int64_t>(id), negated);
    }
    const std::size_t end = text_.find('>', at_);
    if (end == std::string_view::npos) fail("a token is not closed", open);
    at_ = end + 1;
    if (tokenizer_ == nullptr) fail("a token is named where there is no vocabulary", open);
    const auto ids =
        tokenizer_->encode(text_.substr(open, at_ - open), {.add_special_tokens = false, .parse_special = true});
    if (ids.size() != 1) fail("a text is not one token", open);
    return grammar_.token(ids[0], negated);
  }

  std::string_view text_;
  const Tokenizer* tokenizer_;
  std::size_t at_ = 0;
  Grammar grammar_;
  std::unordered_map<std::string, Name> names_;
};

}  // namespace

Grammar parse_gbnf(std::string_view text, const Tokenizer* tokenizer) { return GbnfParser(text, tokenizer).run(); }

}  // namespace powerhouse::constraints
