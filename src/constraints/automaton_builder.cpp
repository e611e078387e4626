#include "constraints/automaton_builder.h"

#include <algorithm>
#include <map>

#include "powerhouse/error.h"

namespace powerhouse::constraints {
namespace {

constexpr std::size_t kMaxAutomatonNodes = 2'000'000;
constexpr std::size_t kMaxEdges = 8'000'000;

}  // namespace

Automaton::Builder::Builder(const Grammar& grammar) : grammar_(grammar) {
  for (std::uint32_t i = 0; i < grammar.rules().size(); ++i) {
    const Grammar::Rule& rule = grammar.rules()[i];
    if (!rule.defined) throw Error(ErrorKind::format, "a rule is not defined", {.field = "rule " + rule.name});
    add_rule(rule.body, i);
  }
  for (std::uint32_t i = 0; i < rules_.size(); ++i) {  // grows: parts that are used many times become rules
    owner_ = rules_[i].owner;
    const BuiltRule rule = rules_[i];
    build(rule.body, rule.start, rule.end);
  }
}

Node Automaton::Builder::add_node() {
  if (nodes_ >= kMaxAutomatonNodes) {
    throw Error(ErrorKind::range, "a grammar explodes",
                {.field = "rule " + grammar_.rules()[owner_].name, .expected = "at most 2,000,000 nodes"});
  }
  return nodes_++;
}

void Automaton::Builder::add_edge(Node from, Edge edge) {
  if (edges_.size() >= kMaxEdges) {
    throw Error(ErrorKind::range, "a grammar explodes",
                {.field = "rule " + grammar_.rules()[owner_].name, .expected = "at most 8,000,000 edges"});
  }
  edges_.push_back({from, edge});
}

std::uint32_t Automaton::Builder::add_rule(ExprId body, std::uint32_t owner) {
  const Node start = add_node();
  rules_.push_back({.body = body, .start = start, .end = add_node(), .owner = owner});
  return static_cast<std::uint32_t>(rules_.size() - 1);
}

void Automaton::Builder::build(ExprId id, Node from, Node to) {
  const Grammar::Expr& expr = grammar_.expr(id);
  switch (expr.kind) {
    case Grammar::Kind::literal: {
      Node at = from;
      for (std::size_t i = 0; i < expr.text.size(); ++i) {
        const auto byte = static_cast<std::uint8_t>(expr.text[i]);
        const Node next = i + 1 == expr.text.size() ? to : add_node();
        add_edge(at, {.kind = Edge::Kind::bytes, .low = byte, .high = byte, .target = next});
        at = next;
      }
      if (expr.text.empty()) empty(from, to);
      return;
    }
    case Grammar::Kind::characters: return is_large(id) ? build_shared(id, from, to) : characters(expr.set, from, to);
    case Grammar::Kind::sequence: {
      Node at = from;
      for (std::size_t i = 0; i < expr.parts.size(); ++i) {
        const Node next = i + 1 == expr.parts.size() ? to : add_node();
        build(expr.parts[i], at, next);
        at = next;
      }
      if (expr.parts.empty()) empty(from, to);
      return;
    }
    case Grammar::Kind::choice:
      for (const ExprId part : expr.parts) build(part, from, to);
      return;
    case Grammar::Kind::repeat: return repeat(expr, from, to);
    case Grammar::Kind::rule: return add_edge(from, {.kind = Edge::Kind::call, .what = expr.target, .target = to});
    case Grammar::Kind::token:
      return add_edge(from, {.kind = expr.negated ? Edge::Kind::other_token : Edge::Kind::token,
                             .what = static_cast<std::uint32_t>(expr.token),
                             .target = to});
    case Grammar::Kind::machine: return run_machine(grammar_.machine_of(expr), from, to);
  }
}

// Sequences share their ends: the node from which two more continuation bytes lead to `to` is one for all of them.
void Automaton::Builder::characters(const CodePoints& set, Node from, Node to) {
  std::map<std::vector<std::uint8_t>, Node> tails;
  for (const ByteSequence& sequence : utf8_sequences(set)) {
    Node target = to;
    std::vector<std::uint8_t> key;
    for (std::size_t i = sequence.length; i-- > 1;) {
      key.push_back(sequence.bytes[i].low);
      key.push_back(sequence.bytes[i].high);
      const auto [found, fresh] = tails.try_emplace(key, 0);
      if (fresh) {
        found->second = add_node();
        add_edge(found->second, {.kind = Edge::Kind::bytes,
                                 .low = sequence.bytes[i].low,
                                 .high = sequence.bytes[i].high,
                                 .target = target});
      }
      target = found->second;
    }
    add_edge(
        from,
        {.kind = Edge::Kind::bytes, .low = sequence.bytes[0].low, .high = sequence.bytes[0].high, .target = target});
  }
}

bool Automaton::Builder::is_large(ExprId id) const {
  const Grammar::Expr& expr = grammar_.expr(id);
  switch (expr.kind) {
    case Grammar::Kind::literal: return expr.text.size() > 4;
    case Grammar::Kind::characters: return expr.set.ranges().size() > 16;
    case Grammar::Kind::rule:
    case Grammar::Kind::token: return false;
    default: return true;
  }
}

void Automaton::Builder::build_shared(ExprId id, Node from, Node to) {
  if (!is_large(id)) return build(id, from, to);
  const auto [found, fresh] = shared_.try_emplace(id, 0);
  if (fresh) found->second = add_rule(id, owner_);
  const std::uint32_t rule = found->second;
  // A large set of characters is a rule's whole body and must not call itself.
  if (rules_[rule].body == id && from == rules_[rule].start) return characters(grammar_.expr(id).set, from, to);
  add_edge(from, {.kind = Edge::Kind::call, .what = rule, .target = to});
}

void Automaton::Builder::repeat(const Grammar::Expr& expr, Node from, Node to) {
  const ExprId part = expr.parts[0];
  const bool once = expr.high == 1 || (expr.high == Grammar::kUnbounded && expr.low == 0);
  const auto build_part = [&](Node a, Node b) { once ? build(part, a, b) : build_shared(part, a, b); };
  Node at = from;
  for (std::uint64_t i = 0; i < expr.low; ++i) {
    const Node next = add_node();
    build_part(at, next);
    at = next;
  }
  if (expr.high == Grammar::kUnbounded) {
    const Node loop = add_node();
    const Node back = add_node();
    empty(at, loop);
    build_part(loop, back);
    empty(back, loop);
    return empty(loop, to);
  }
  for (std::uint64_t i = expr.low; i < expr.high; ++i) {
    const Node next = add_node();
    empty(at, to);
    build_part(at, next);
    at = next;
  }
  empty(at, to);
}

void Automaton::Builder::run_machine(const Machine& machine, Node from, Node to) {
  std::vector<Node> nodes;
  for (std::uint32_t i = 0; i < machine.size; ++i) nodes.push_back(add_node());
  if (machine.size == 0) return;
  empty(from, nodes[machine.start]);
  for (const Machine::Step& step : machine.steps) build_shared(step.what, nodes[step.from], nodes[step.to]);
  for (std::uint32_t i = 0; i < machine.size; ++i) {
    if (machine.accepting[i]) empty(nodes[i], to);
  }
}

}  // namespace powerhouse::constraints
