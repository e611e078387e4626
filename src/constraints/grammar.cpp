#include "constraints/grammar.h"

#include "powerhouse/error.h"

namespace powerhouse::constraints {
namespace {

constexpr std::size_t kMaxExprs = 1'000'000;

}  // namespace

ExprId Grammar::add(Expr expr) {
  if (exprs_.size() >= kMaxExprs) {
    throw Error(ErrorKind::range, "a grammar explodes", {.expected = "at most a million expressions"});
  }
  exprs_.push_back(std::move(expr));
  return static_cast<ExprId>(exprs_.size() - 1);
}

ExprId Grammar::literal(std::string_view text) { return add({.kind = Kind::literal, .text = std::string(text)}); }
ExprId Grammar::characters(CodePoints set) { return add({.kind = Kind::characters, .set = std::move(set)}); }

ExprId Grammar::sequence(std::vector<ExprId> parts) {
  if (parts.size() == 1) return parts[0];
  return add({.kind = Kind::sequence, .parts = std::move(parts)});
}

ExprId Grammar::choice(std::vector<ExprId> parts) {
  if (parts.size() == 1) return parts[0];
  return add({.kind = Kind::choice, .parts = std::move(parts)});
}

ExprId Grammar::repeat(ExprId what, std::uint64_t low, std::uint64_t high) {
  const std::uint64_t largest = high == kUnbounded ? low : high;
  if (largest > kMaxCount) {
    throw Error(ErrorKind::range, "a repetition explodes",
                {.expected = "at most " + std::to_string(kMaxCount) + " times", .found = std::to_string(largest)});
  }
  return add({.kind = Kind::repeat, .parts = {what}, .low = low, .high = high});
}

ExprId Grammar::token(std::int64_t id, bool negated) {
  return add({.kind = Kind::token, .token = id, .negated = negated});
}

ExprId Grammar::machine(Machine machine) {
  machines_.push_back(std::move(machine));
  return add({.kind = Kind::machine, .target = static_cast<std::uint32_t>(machines_.size() - 1)});
}

ExprId Grammar::call(RuleId rule) { return add({.kind = Kind::rule, .target = rule}); }

RuleId Grammar::add_rule(std::string name) {
  rules_.push_back({.name = std::move(name)});
  return static_cast<RuleId>(rules_.size() - 1);
}

void Grammar::define(RuleId rule, ExprId body) {
  rules_[rule].body = body;
  rules_[rule].defined = true;
}

ExprId Grammar::shared(std::string name, ExprId body) {
  const RuleId rule = add_rule(std::move(name));
  define(rule, body);
  return call(rule);
}

}  // namespace powerhouse::constraints
