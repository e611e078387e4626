// TextMachine: a finite automaton over characters: a regular expression, bounds of a length, a set of texts. Machines
// are put together (both, or not this one) before they become part of a grammar.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "constraints/code_points.h"
#include "constraints/grammar.h"

namespace powerhouse::constraints {

struct TextMachine {
  struct Step {
    CodePoints set;
    std::uint32_t target = 0;
  };
  struct State {
    std::vector<Step> steps{};
    bool accepts = false;
  };
  std::vector<State> states{};
  std::uint32_t start = 0;

  std::uint32_t add_state(bool accepts = false) {
    states.push_back({.accepts = accepts});
    return static_cast<std::uint32_t>(states.size() - 1);
  }
  /// Whether it takes some text.
  bool possible() const;
  /// Whether it takes all of `text`, valid UTF-8.
  bool matches(std::string_view text) const;
};

/// Texts of `low` to `high` characters.
TextMachine lengths_machine(std::uint64_t low, std::uint64_t high);
/// These texts.
TextMachine texts_machine(std::span<const std::string> texts);
/// What both take. Error{range} where that explodes.
TextMachine both(const TextMachine& a, const TextMachine& b);
/// What it does not take. Error{range} where that explodes.
TextMachine complement(const TextMachine& machine);

/// As a part of a grammar; `spell` makes the expression for one character of a set.
ExprId to_expr(Grammar& grammar, const TextMachine& machine, const std::function<ExprId(const CodePoints&)>& spell);
/// Characters as they are.
ExprId to_expr(Grammar& grammar, const TextMachine& machine);

}  // namespace powerhouse::constraints
