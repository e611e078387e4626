// The automaton while it is made: rules become nodes and edges in no order, then recursion is checked and dead ends go.
#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

#include "constraints/automaton.h"

namespace powerhouse::constraints {

class Automaton::Builder {
 public:
  explicit Builder(const Grammar& grammar);
  void finish(Automaton& out);

 private:
  struct BuiltRule {
    ExprId body = 0;
    Node start = 0, end = 0;
    std::uint32_t owner = 0;  // the grammar's rule that it was written in
  };
  struct From {
    Node node;
    Edge edge;
  };

  Node add_node();
  void add_edge(Node from, Edge edge);
  void empty(Node from, Node to) { add_edge(from, {.target = to}); }
  std::uint32_t add_rule(ExprId body, std::uint32_t owner);
  void build(ExprId id, Node from, Node to);
  void characters(const CodePoints& set, Node from, Node to);
  void repeat(const Grammar::Expr& expr, Node from, Node to);
  void run_machine(const Machine& machine, Node from, Node to);
  bool is_large(ExprId id) const;
  /// The part of a repetition or machine as an expression to build many times: itself, or a call of a rule of its own.
  void build_shared(ExprId id, Node from, Node to);

  const std::string& name_of(std::uint32_t rule) const { return grammar_.rules()[rules_[rule].owner].name; }
  std::vector<std::uint32_t> index() const;  // edges by node; sorts edges_
  std::vector<bool> empty_rules(const std::vector<std::uint32_t>& first) const;
  void check_recursion(const std::vector<std::uint32_t>& first) const;
  void cut_dead_ends();

  const Grammar& grammar_;
  std::vector<BuiltRule> rules_;
  std::vector<From> edges_;
  Node nodes_ = 0;
  std::uint32_t owner_ = 0;  // of what is being built
  std::unordered_map<ExprId, std::uint32_t> shared_;
};

}  // namespace powerhouse::constraints
