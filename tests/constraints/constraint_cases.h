// Cases of tests/oracles/constraints.py: {"kind": ..., "text": ...} as a constraint, and texts to try.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "constraints/engine.h"
#include "constraints/gbnf.h"
#include "constraints/json_schema.h"
#include "constraints/simple_grammars.h"
#include "powerhouse/constraint.h"
#include "support/json.h"

namespace powerhouse::testing {

inline constraints::Grammar grammar_of(const Json& one) {
  const std::string& kind = one.at("kind").as_string();
  const Json& text = one.at("text");
  if (kind == "regex") return constraints::regex_grammar(text.as_string());
  if (kind == "gbnf") return constraints::parse_gbnf(text.as_string(), nullptr);
  if (kind == "choices") {
    std::vector<std::string> choices;
    for (const Json& choice : text.as_array()) choices.push_back(choice.as_string());
    return constraints::choices_grammar(choices);
  }
  const bool compact = one.bool_or("compact", true);
  return constraints::json_schema_grammar(text.dump(),
                                          {.whitespace = compact ? JsonWhitespace::compact : JsonWhitespace::flexible});
}

/// Whether the grammar takes a text, byte by byte.
inline bool takes(const constraints::Automaton& automaton, std::string_view text) {
  constraints::StateSpace states(automaton);
  return states.accepts(states.step_text(states.start(), text));
}

inline std::vector<std::int64_t> allowed_ids(ConstraintMatcher& matcher) {
  std::vector<std::int64_t> ids;
  const auto bits = matcher.allowed();
  for (std::size_t i = 0; i < bits.size() * 64; ++i) {
    if ((bits[i / 64] >> (i % 64) & 1) != 0) ids.push_back(static_cast<std::int64_t>(i));
  }
  return ids;
}

}  // namespace powerhouse::testing
