#include "constraints/simple_grammars.h"

#include "constraints/regex_parser.h"
#include "constraints/text_machine.h"
#include "powerhouse/error.h"
#include "support/utf8.h"

namespace powerhouse::constraints {

Grammar regex_grammar(std::string_view pattern) {
  Grammar grammar;
  grammar.root = grammar.add_rule("pattern");
  grammar.define(grammar.root, to_expr(grammar, regex_machine(pattern, RegexDialect::python, true)));
  return grammar;
}

Grammar choices_grammar(std::span<const std::string> choices) {
  if (choices.empty()) throw Error(ErrorKind::usage, "there is nothing to choose from", {.field = "choices"});
  Grammar grammar;
  grammar.root = grammar.add_rule("choices");
  std::vector<ExprId> parts;
  for (std::size_t i = 0; i < choices.size(); ++i) {
    if (find_invalid_utf8(choices[i])) {
      throw Error(ErrorKind::format, "a choice is not valid UTF-8", {.field = "choices[" + std::to_string(i) + "]"});
    }
    parts.push_back(grammar.literal(choices[i]));
  }
  grammar.define(grammar.root, grammar.choice(std::move(parts)));
  return grammar;
}

}  // namespace powerhouse::constraints
