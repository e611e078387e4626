#include "constraints/json_spelling.h"

namespace powerhouse::constraints {
namespace {

// What a string holds as it is: no controls, no quotation mark, no backslash.
const CodePoints& plain() {
  static const CodePoints set = CodePoints{{0, 0x1F}, {'"', '"'}, {'\\', '\\'}, {0x7F, 0x7F}}.complement();
  return set;
}

}  // namespace

JsonSpelling::JsonSpelling(Grammar& grammar, JsonWhitespace whitespace) : grammar_(grammar) {
  space_ = grammar.empty();
  if (whitespace == JsonWhitespace::flexible) {
    const ExprId indent = grammar.repeat(grammar.characters({{'\t', '\t'}, {' ', ' '}}), 0, 20);
    const ExprId line = grammar.sequence({grammar.literal("\n"), indent});
    space_ = grammar.shared("space", grammar.optional(grammar.choice({grammar.literal(" "), line})));
  }
  // Any character, in any of JSON's spellings; surrogates are none.
  const ExprId hex = grammar.characters({{'0', '9'}, {'A', 'F'}, {'a', 'f'}});
  const ExprId lead = grammar.characters({{'0', '9'}, {'A', 'C'}, {'E', 'F'}, {'a', 'c'}, {'e', 'f'}});
  const ExprId below =
      grammar.sequence({grammar.characters({{'D', 'D'}, {'d', 'd'}}), grammar.characters({{'0', '7'}})});
  const ExprId unit =
      grammar.sequence({grammar.literal("u"), grammar.choice({grammar.sequence({lead, hex}), below}), hex, hex});
  CodePoints signs;
  for (const char sign : {'"', '\\', '/', 'b', 'f', 'n', 'r', 't'}) {
    signs.add({static_cast<char32_t>(sign), static_cast<char32_t>(sign)});
  }
  const ExprId escape = grammar.sequence({grammar.literal("\\"), grammar.choice({grammar.characters(signs), unit})});
  character_ = grammar.shared("character", grammar.choice({grammar.characters(plain()), escape}));
  value_ = grammar.add_rule("value");
  grammar.define(value_, grammar.choice({object(), array(), string(0, Grammar::kUnbounded), number(),
                                         grammar.literal("true"), grammar.literal("false"), grammar.literal("null")}));
}

ExprId JsonSpelling::string(std::uint64_t low, std::uint64_t high) {
  return grammar_.sequence({grammar_.literal("\""), grammar_.repeat(character_, low, high), grammar_.literal("\"")});
}

ExprId JsonSpelling::string(const TextMachine& value) {
  const ExprId body = to_expr(grammar_, value, [&](const CodePoints& set) { return character(set); });
  return grammar_.sequence({grammar_.literal("\""), body, grammar_.literal("\"")});
}

ExprId JsonSpelling::character(const CodePoints& set) {
  std::vector<ExprId> parts{grammar_.characters(set.intersected(plain()))};
  const CodePoints escaped = set.without(plain());
  for (const CodePoints::Range& range : escaped.ranges()) {
    for (char32_t c = range.low; c <= range.high; ++c) {
      const std::string quoted = Json(std::string(1, static_cast<char>(c))).dump();
      parts.push_back(grammar_.literal(std::string_view(quoted).substr(1, quoted.size() - 2)));
    }
  }
  return grammar_.choice(std::move(parts));
}

ExprId JsonSpelling::integer() {
  if (integer_) return *integer_;
  const ExprId digits = grammar_.repeat(grammar_.characters({{'0', '9'}}), 0, 15);
  const ExprId whole =
      grammar_.choice({grammar_.literal("0"), grammar_.sequence({grammar_.characters({{'1', '9'}}), digits})});
  integer_ = grammar_.shared("integer", grammar_.sequence({grammar_.optional(grammar_.literal("-")), whole}));
  return *integer_;
}

ExprId JsonSpelling::number() {
  if (number_) return *number_;
  const ExprId digit = grammar_.characters({{'0', '9'}});
  const ExprId fraction = grammar_.sequence({grammar_.literal("."), grammar_.repeat(digit, 1, 15)});
  const ExprId exponent = grammar_.sequence({grammar_.characters({{'E', 'E'}, {'e', 'e'}}),
                                             grammar_.optional(grammar_.characters({{'+', '+'}, {'-', '-'}})),
                                             grammar_.repeat(digit, 1, 2)});  // three could mean infinity
  number_ = grammar_.shared("number",
                            grammar_.sequence({integer(), grammar_.optional(fraction), grammar_.optional(exponent)}));
  return *number_;
}

ExprId JsonSpelling::key(ExprId string) { return grammar_.sequence({string, grammar_.literal(":"), space_}); }

ExprId JsonSpelling::list(std::string_view open, ExprId part, std::string_view close) {
  const ExprId spaced = grammar_.sequence({space_, part});
  const ExprId rest = grammar_.repeat(grammar_.sequence({grammar_.literal(","), spaced}), 0, Grammar::kUnbounded);
  return grammar_.sequence(
      {grammar_.literal(open), grammar_.optional(grammar_.sequence({spaced, rest})), space_, grammar_.literal(close)});
}

ExprId JsonSpelling::object() {
  if (!object_) {
    const ExprId member = grammar_.sequence({key(string(0, Grammar::kUnbounded)), value()});
    object_ = grammar_.shared("object", list("{", member, "}"));
  }
  return *object_;
}

ExprId JsonSpelling::array() {
  if (!array_) array_ = grammar_.shared("array", list("[", value(), "]"));
  return *array_;
}

}  // namespace powerhouse::constraints
