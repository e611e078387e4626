// Grammar: what schemas, patterns, choices and GBNF become alike. Rules whose bodies are expressions over characters;
// the automaton (constraints/automaton.h) is made of them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "constraints/code_points.h"

namespace powerhouse::constraints {

/// An expression of a grammar.
using ExprId = std::uint32_t;
using RuleId = std::uint32_t;

/// A finite automaton whose steps are expressions: what is more than sequence, choice and repetition (an object's
/// optional members, a number between two others, a pattern).
struct Machine {
  struct Step {
    std::uint32_t from = 0, to = 0;
    ExprId what = 0;
  };
  std::uint32_t start = 0;
  std::uint32_t size = 0;  // states 0 .. size - 1
  std::vector<Step> steps{};
  std::vector<bool> accepting{};

  std::uint32_t add_state(bool accepts = false) {
    accepting.push_back(accepts);
    return size++;
  }
};

class Grammar {
 public:
  static constexpr std::uint64_t kUnbounded = ~std::uint64_t{0};
  /// A count in {m,n} beyond it is refused: every number up to it is a node of the automaton.
  static constexpr std::uint64_t kMaxCount = 100'000;

  enum class Kind : std::uint8_t { literal, characters, sequence, choice, repeat, rule, token, machine };
  struct Expr {
    Kind kind = Kind::sequence;
    std::string text{};               // literal: its bytes
    CodePoints set{};                 // characters
    std::vector<ExprId> parts{};      // sequence, choice; repeat: one
    std::uint64_t low = 0, high = 0;  // repeat
    std::uint32_t target = 0;         // rule, machine
    std::int64_t token = -1;          // token
    bool negated = false;             // token: any but this one
  };
  struct Rule {
    std::string name;
    ExprId body = 0;
    bool defined = false;
  };

  ExprId literal(std::string_view text);
  ExprId characters(CodePoints set);
  ExprId sequence(std::vector<ExprId> parts);
  /// Of none: what nothing can meet.
  ExprId choice(std::vector<ExprId> parts);
  ExprId nothing() { return choice({}); }
  ExprId empty() { return sequence({}); }
  /// Error{range} for counts beyond kMaxCount.
  ExprId repeat(ExprId what, std::uint64_t low, std::uint64_t high);
  ExprId optional(ExprId what) { return repeat(what, 0, 1); }
  ExprId token(std::int64_t id, bool negated);
  ExprId machine(Machine machine);
  ExprId call(RuleId rule);

  RuleId add_rule(std::string name);
  void define(RuleId rule, ExprId body);
  /// A rule for an expression that is used in many places.
  ExprId shared(std::string name, ExprId body);

  const Expr& expr(ExprId id) const { return exprs_[id]; }
  const std::vector<Rule>& rules() const { return rules_; }
  const Machine& machine_of(const Expr& expr) const { return machines_[expr.target]; }
  /// How many expressions there are; who makes them without end is stopped by it.
  std::size_t size() const { return exprs_.size(); }

  RuleId root = 0;
  /// Where something was seen that nothing meets, for an Error that has to say why no text ends the grammar.
  std::string impossible{};

 private:
  ExprId add(Expr expr);

  std::vector<Expr> exprs_;
  std::vector<Rule> rules_;
  std::vector<Machine> machines_;
};

}  // namespace powerhouse::constraints
