#include "constraints/value_spelling.h"

#include "constraints/raw_texts.h"
#include "powerhouse/error.h"

namespace powerhouse::constraints {
namespace {

using Strings = ValueNotation::Strings;

CodePoints plain_of(Strings strings) {
  const char32_t quote = strings == Strings::python ? '\'' : '"';
  return CodePoints{{0, 0x1F}, {quote, quote}, {'\\', '\\'}, {0x7F, 0x7F}}.complement();
}

// Keys that stand without marks: one character at least, and no blank at either end.
TextMachine bare_names() {
  const CodePoints blank = CodePoints::of(' ');
  CodePoints signs = blank;
  for (char32_t c = 0; c < 0x80; ++c) {
    if (!is_key_character(c)) signs.add({c, c});
  }
  const CodePoints held = signs.complement();
  TextMachine machine;
  const std::uint32_t begin = machine.add_state(), name = machine.add_state(true), gap = machine.add_state();
  machine.states[begin].steps = {{held, name}};
  machine.states[name].steps = {{held, name}, {blank, gap}};
  machine.states[gap].steps = {{held, name}, {blank, gap}};
  return machine;
}

}  // namespace

ValueSpelling::ValueSpelling(Grammar& grammar, SpellingOptions options)
    : grammar_(grammar), notation_(std::move(options.notation)), plain_(plain_of(notation_.strings)) {
  space_ = grammar.empty();
  if (options.whitespace == JsonWhitespace::flexible) {
    const ExprId indent = grammar.repeat(grammar.characters({{'\t', '\t'}, {' ', ' '}}), 0, 20);
    const ExprId line = grammar.sequence({grammar.literal("\n"), indent});
    space_ = grammar.shared("space", grammar.optional(grammar.choice({grammar.literal(" "), line})));
  }
  const auto mark = [&](const std::string& text) {
    return options.mark ? options.mark(grammar, text) : grammar.literal(text);
  };
  open_ = mark(notation_.open);
  close_ = mark(notation_.close);
  if (notation_.strings != Strings::marked) {
    character_ = grammar.shared("character", grammar.choice({grammar.characters(plain_), any_escape()}));
  }
  value_ = grammar.add_rule("value");
  grammar.define(value_, grammar.choice({object(), array(), string(0, Grammar::kUnbounded), number(),
                                         literal(Json(true)), literal(Json(false)), literal(Json())}));
}

// Any character, in any of the notation's escapes; surrogates are none.
ExprId ValueSpelling::any_escape() {
  Grammar& grammar = grammar_;
  const ExprId hex = grammar.characters({{'0', '9'}, {'A', 'F'}, {'a', 'f'}});
  const ExprId lead = grammar.characters({{'0', '9'}, {'A', 'C'}, {'E', 'F'}, {'a', 'c'}, {'e', 'f'}});
  const ExprId below =
      grammar.sequence({grammar.characters({{'D', 'D'}, {'d', 'd'}}), grammar.characters({{'0', '7'}})});
  std::vector<ExprId> ways{
      grammar.sequence({grammar.literal("u"), grammar.choice({grammar.sequence({lead, hex}), below}), hex, hex})};
  const bool python = notation_.strings == Strings::python;
  if (python) ways.push_back(grammar.sequence({grammar.literal("x"), hex, hex}));
  CodePoints signs;
  for (const char sign : std::string_view(python ? "'\"\\nrt" : "\"\\/bfnrt")) {
    signs.add({static_cast<char32_t>(sign), static_cast<char32_t>(sign)});
  }
  ways.push_back(grammar.characters(signs));
  return grammar.sequence({grammar.literal("\\"), grammar.choice(std::move(ways))});
}

ExprId ValueSpelling::string(std::uint64_t low, std::uint64_t high) {
  if (notation_.strings != Strings::marked) return quoted(grammar_.repeat(character_, low, high));
  const bool any = low == 0 && high == Grammar::kUnbounded;
  return any ? quoted(to_expr(grammar_, texts_without(notation_.close))) : string(lengths_machine(low, high));
}

ExprId ValueSpelling::string(const TextMachine& value) {
  if (notation_.strings == Strings::marked) {
    return quoted(to_expr(grammar_, both(value, texts_without(notation_.close))));
  }
  return quoted(to_expr(grammar_, value, [&](const CodePoints& set) { return character(set); }));
}

ExprId ValueSpelling::character(const CodePoints& set) {
  std::vector<ExprId> parts{grammar_.characters(set.intersected(plain_))};
  const CodePoints escaped = set.without(plain_);
  for (const CodePoints::Range& range : escaped.ranges()) {
    for (char32_t c = range.low; c <= range.high; ++c) {
      // With the other quote in it, Python's are the ones that are meant.
      const std::string other = notation_.strings == Strings::python && c == '\'' ? "\"" : "";
      const std::string whole = written(notation_, Json(std::string(1, static_cast<char>(c)) + other));
      parts.push_back(grammar_.literal(std::string_view(whole).substr(1, whole.size() - 2 - other.size())));
    }
  }
  return grammar_.choice(std::move(parts));
}

ExprId ValueSpelling::literal(const Json& value) {
  if (notation_.strings != Strings::marked) return grammar_.literal(written(notation_, value));
  if (value.is_string()) {
    if (value.as_string().find(notation_.close) != std::string::npos) {
      throw Error(ErrorKind::unsupported, "a string holds the mark that ends it", {.found = value.as_string()});
    }
    return quoted(grammar_.literal(value.as_string()));
  }
  if (!value.is_array() && !value.is_object()) return grammar_.literal(written(notation_, value));
  std::vector<ExprId> parts{grammar_.literal(value.is_array() ? "[" : "{")};
  const auto separate = [&] {
    if (parts.size() > 1) parts.push_back(grammar_.literal(notation_.spaced ? ", " : ","));
  };
  if (value.is_array()) {
    for (const Json& element : value.as_array()) separate(), parts.push_back(literal(element));
  } else {
    for (const auto& [name, member] : value.as_object()) {
      separate();
      parts.push_back(key(name));
      parts.push_back(literal(member));
    }
  }
  parts.push_back(grammar_.literal(value.is_array() ? "]" : "}"));
  return grammar_.sequence(std::move(parts));
}

ExprId ValueSpelling::integer() {
  if (integer_) return *integer_;
  const ExprId digits = grammar_.repeat(grammar_.characters({{'0', '9'}}), 0, 15);
  const ExprId whole =
      grammar_.choice({grammar_.literal("0"), grammar_.sequence({grammar_.characters({{'1', '9'}}), digits})});
  integer_ = grammar_.shared("integer", grammar_.sequence({grammar_.optional(grammar_.literal("-")), whole}));
  return *integer_;
}

ExprId ValueSpelling::number() {
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

ExprId ValueSpelling::key(const std::string& name) {
  if (!notation_.bare_keys) return behind_key(literal(Json(name)));
  if (!bare_names().matches(name)) {
    throw Error(ErrorKind::unsupported, "the notation has no end of such a key", {.found = name});
  }
  return behind_key(grammar_.literal(name));
}

ExprId ValueSpelling::keys(const TextMachine& names) {
  if (!notation_.bare_keys) return behind_key(string(names));
  return behind_key(to_expr(grammar_, both(names, bare_names())));
}

ExprId ValueSpelling::keys() {
  return behind_key(notation_.bare_keys ? to_expr(grammar_, bare_names()) : string(0, Grammar::kUnbounded));
}

ExprId ValueSpelling::list(std::string_view open, ExprId part, std::string_view close) {
  const ExprId spaced = grammar_.sequence({space_, part});
  const ExprId rest = grammar_.repeat(grammar_.sequence({grammar_.literal(","), spaced}), 0, Grammar::kUnbounded);
  return grammar_.sequence(
      {grammar_.literal(open), grammar_.optional(grammar_.sequence({spaced, rest})), space_, grammar_.literal(close)});
}

ExprId ValueSpelling::object() {
  if (!object_) {
    const ExprId member = grammar_.sequence({keys(), value()});
    object_ = grammar_.shared("object", list("{", member, "}"));
  }
  return *object_;
}

ExprId ValueSpelling::array() {
  if (!array_) array_ = grammar_.shared("array", list("[", value(), "]"));
  return *array_;
}

}  // namespace powerhouse::constraints
