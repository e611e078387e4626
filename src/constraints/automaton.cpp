// The second half of making an automaton: what recursion does, what can end, and the tables.
#include "constraints/automaton.h"

#include <algorithm>

#include "constraints/automaton_builder.h"
#include "powerhouse/error.h"

namespace powerhouse::constraints {

std::vector<std::uint32_t> Automaton::Builder::index() const {
  std::vector<std::uint32_t> first(nodes_ + 1, 0);
  for (const From& edge : edges_) ++first[edge.node + 1];
  for (Node node = 0; node < nodes_; ++node) first[node + 1] += first[node];
  return first;
}

// Rules that derive the empty text: a rule's end is reached from its start by empty edges and calls of such rules. Each
// round follows what the last one learned.
std::vector<bool> Automaton::Builder::empty_rules(const std::vector<std::uint32_t>& first) const {
  std::vector<bool> reached(nodes_, false), empty(rules_.size(), false);
  std::vector<std::vector<std::pair<Node, Node>>> waiting(rules_.size());  // calls reached: from, to
  std::vector<std::uint32_t> rule_of_end(nodes_, ~std::uint32_t{0});
  // Starting anywhere else than at a rule's start tells nothing: every start is walked once, and nodes belong to one
  // rule each.
  std::vector<Node> todo;
  const auto reach = [&](Node node) {
    if (reached[node]) return;
    reached[node] = true;
    todo.push_back(node);
  };
  for (std::uint32_t rule = 0; rule < rules_.size(); ++rule) rule_of_end[rules_[rule].end] = rule;
  for (const BuiltRule& rule : rules_) reach(rule.start);
  while (!todo.empty()) {
    const Node node = todo.back();
    todo.pop_back();
    if (const std::uint32_t rule = rule_of_end[node]; rule != ~std::uint32_t{0} && !empty[rule]) {
      empty[rule] = true;
      for (const auto& [from, to] : waiting[rule]) reach(to);
    }
    for (std::uint32_t i = first[node]; i < first[node + 1]; ++i) {
      const Edge& edge = edges_[i].edge;
      if (edge.kind == Edge::Kind::empty) reach(edge.target);
      if (edge.kind != Edge::Kind::call) continue;
      if (empty[edge.what]) {
        reach(edge.target);
      } else {
        waiting[edge.what].emplace_back(node, edge.target);
      }
    }
  }
  return empty;
}

// A rule that can call itself before anything is read.
void Automaton::Builder::check_recursion(const std::vector<std::uint32_t>& first) const {
  const std::vector<bool> empty = empty_rules(first);
  std::vector<std::vector<std::uint32_t>> calls(rules_.size());
  std::vector<bool> seen(nodes_, false);
  std::vector<Node> todo;
  for (std::uint32_t rule = 0; rule < rules_.size(); ++rule) {
    todo.assign(1, rules_[rule].start);
    seen[rules_[rule].start] = true;
    while (!todo.empty()) {
      const Node node = todo.back();
      todo.pop_back();
      for (std::uint32_t i = first[node]; i < first[node + 1]; ++i) {
        const Edge& edge = edges_[i].edge;
        if (edge.kind == Edge::Kind::call) calls[rule].push_back(edge.what);
        const bool passes = edge.kind == Edge::Kind::empty || (edge.kind == Edge::Kind::call && empty[edge.what]);
        if (!passes || seen[edge.target]) continue;
        seen[edge.target] = true;
        todo.push_back(edge.target);
      }
    }
  }
  // Depth first, without the machine's stack: a chain of rules may be long.
  enum : std::uint8_t { kNew, kOpen, kDone };
  std::vector<std::uint8_t> state(rules_.size(), kNew);
  std::vector<std::pair<std::uint32_t, std::size_t>> path;
  for (std::uint32_t root = 0; root < rules_.size(); ++root) {
    if (state[root] != kNew) continue;
    path.assign(1, {root, 0});
    state[root] = kOpen;
    while (!path.empty()) {
      auto& [rule, next] = path.back();
      if (next == calls[rule].size()) {
        state[rule] = kDone;
        path.pop_back();
        continue;
      }
      const std::uint32_t called = calls[rule][next++];
      if (state[called] == kOpen) {
        throw Error(ErrorKind::format, "a rule is left recursive: it calls itself before it reads anything",
                    {.field = "rule " + name_of(called)});
      }
      if (state[called] == kNew) {
        state[called] = kOpen;
        path.emplace_back(called, 0);
      }
    }
  }
}

// Keeps edges that lie on the way to an end.
void Automaton::Builder::cut_dead_ends() {
  std::vector<std::uint32_t> first(nodes_ + 1, 0);
  for (const From& edge : edges_) ++first[edge.edge.target + 1];
  for (Node node = 0; node < nodes_; ++node) first[node + 1] += first[node];
  std::vector<std::uint32_t> incoming(edges_.size());
  std::vector<std::uint32_t> at(first.begin(), first.end() - 1);
  std::vector<std::vector<std::uint32_t>> calls(rules_.size());
  for (std::uint32_t i = 0; i < edges_.size(); ++i) {
    incoming[at[edges_[i].edge.target]++] = i;
    if (edges_[i].edge.kind == Edge::Kind::call) calls[edges_[i].edge.what].push_back(i);
  }
  std::vector<std::uint32_t> rule_of_start(nodes_, ~std::uint32_t{0});
  for (std::uint32_t rule = 0; rule < rules_.size(); ++rule) rule_of_start[rules_[rule].start] = rule;
  std::vector<bool> live(nodes_, false), ends(rules_.size(), false);
  std::vector<Node> todo;
  const auto reach = [&](Node node) {
    if (live[node]) return;
    live[node] = true;
    todo.push_back(node);
  };
  for (const BuiltRule& rule : rules_) reach(rule.end);
  while (!todo.empty()) {
    const Node node = todo.back();
    todo.pop_back();
    if (const std::uint32_t rule = rule_of_start[node]; rule != ~std::uint32_t{0}) {
      ends[rule] = true;
      for (const std::uint32_t call : calls[rule]) {
        if (live[edges_[call].edge.target]) reach(edges_[call].node);
      }
    }
    for (std::uint32_t i = first[node]; i < first[node + 1]; ++i) {
      const From& edge = edges_[incoming[i]];
      if (edge.edge.kind != Edge::Kind::call || ends[edge.edge.what]) reach(edge.node);
    }
  }
  if (!ends[grammar_.root]) {
    throw Error(
        ErrorKind::format, "nothing can meet the grammar: no text ends it",
        {.field = grammar_.impossible.empty() ? "rule " + grammar_.rules()[grammar_.root].name : grammar_.impossible});
  }
  std::erase_if(edges_, [&](const From& edge) {
    return !live[edge.edge.target] || (edge.edge.kind == Edge::Kind::call && !ends[edge.edge.what]);
  });
}

void Automaton::Builder::finish(Automaton& out) {
  const auto by_node = [](const From& a, const From& b) { return a.node < b.node; };
  std::stable_sort(edges_.begin(), edges_.end(), by_node);
  check_recursion(index());
  cut_dead_ends();
  out.first_ = index();
  out.flags_.assign(nodes_, 0);
  for (const BuiltRule& rule : rules_) {
    out.starts_.push_back(rule.start);
    out.flags_[rule.end] |= kAccepts;
  }
  out.root_ = grammar_.root;
  std::array<bool, 257> begins{};
  for (const From& edge : edges_) {
    out.edges_.push_back(edge.edge);
    if (edge.edge.kind != Edge::Kind::empty && edge.edge.kind != Edge::Kind::call) out.flags_[edge.node] |= kReads;
    if (edge.edge.kind == Edge::Kind::bytes) begins[edge.edge.low] = begins[edge.edge.high + 1u] = true;
    out.has_tokens_ |= edge.edge.kind == Edge::Kind::token || edge.edge.kind == Edge::Kind::other_token;
  }
  for (std::size_t byte = 0; byte < 256; ++byte) {
    if (byte == 0 || begins[byte]) out.representatives_.push_back(static_cast<std::uint8_t>(byte));
    out.class_of_[byte] = static_cast<std::uint8_t>(out.representatives_.size() - 1);
  }
  // A node from which empty edges alone lead, and all to the rule's end. A chain of them is followed only as far as it
  // does not branch, which is what repetition and sequence make.
  for (Node node = 0; node < nodes_; ++node) {
    Node at = node;
    for (int steps = 0; steps < 64; ++steps) {
      if (out.accepts(at)) {
        out.flags_[node] |= out.edges(at).empty() ? kOnlyAccepts : 0;
        break;
      }
      if (out.edges(at).size() != 1 || out.edges(at)[0].kind != Edge::Kind::empty) break;
      at = out.edges(at)[0].target;
    }
  }
}

Automaton::Automaton(const Grammar& grammar) { Builder(grammar).finish(*this); }

}  // namespace powerhouse::constraints
