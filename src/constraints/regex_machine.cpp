// From a parsed pattern to a machine: Thompson's construction, whose empty steps are then taken out. Anchors are empty
// steps that hold at the beginning or at the end alone.
#include <algorithm>
#include <map>
#include <optional>
#include <utility>

#include "constraints/regex_parser.h"
#include "powerhouse/error.h"

namespace powerhouse::constraints {
namespace {

constexpr std::size_t kMaxPatternNodes = 200'000;
constexpr std::size_t kMaxSteps = 2'000'000;

[[noreturn]] void pattern_explodes() {
  throw Error(ErrorKind::range, "a pattern explodes", {.expected = "at most 200,000 nodes and 2,000,000 steps"});
}

struct NfaEdge {
  enum class Kind : std::uint8_t { empty, begin, end, set };
  Kind kind = Kind::empty;
  std::uint32_t target = 0;
  const CodePoints* set = nullptr;  // the tree's
};

class Nfa {
 public:
  std::uint32_t add_node() {
    if (nodes_.size() >= kMaxPatternNodes) pattern_explodes();
    nodes_.emplace_back();
    return static_cast<std::uint32_t>(nodes_.size() - 1);
  }
  void add(std::uint32_t from, NfaEdge edge) { nodes_[from].push_back(edge); }
  void empty(std::uint32_t from, std::uint32_t to) { add(from, {.target = to}); }
  const std::vector<NfaEdge>& edges(std::uint32_t node) const { return nodes_[node]; }

  void build(const RegexTree& tree, std::uint32_t from, std::uint32_t to) {
    switch (tree.kind) {
      case RegexTree::Kind::set: return add(from, {NfaEdge::Kind::set, to, &tree.set});
      case RegexTree::Kind::begin: return add(from, {NfaEdge::Kind::begin, to});
      case RegexTree::Kind::end: return add(from, {NfaEdge::Kind::end, to});
      case RegexTree::Kind::choice:
        for (const RegexTree& part : tree.parts) build(part, from, to);
        return;
      case RegexTree::Kind::sequence: {
        for (const RegexTree& part : tree.parts) {
          const std::uint32_t next = add_node();
          build(part, from, next);
          from = next;
        }
        return empty(from, to);
      }
      case RegexTree::Kind::repeat: {
        const RegexTree& part = tree.parts[0];
        const bool open = tree.high == Grammar::kUnbounded;
        for (std::uint64_t i = 0; i < (open ? tree.low : tree.high); ++i) {
          if (i >= tree.low) empty(from, to);
          const std::uint32_t next = add_node();
          build(part, from, next);
          from = next;
        }
        if (open) {
          const std::uint32_t loop = add_node();
          empty(from, loop);
          build(part, loop, loop);
          from = loop;
        }
        return empty(from, to);
      }
    }
  }

 private:
  std::vector<std::vector<NfaEdge>> nodes_;
};

class Flattener {
 public:
  Flattener(const Nfa& nfa, std::uint32_t final, bool ends_before_newline)
      : nfa_(nfa), final_(final), ends_before_newline_(ends_before_newline) {}

  TextMachine run(std::uint32_t start) {
    out_.start = state(start, false);
    for (std::size_t i = 0; i < keys_.size(); ++i) expand(static_cast<std::uint32_t>(i));
    return std::move(out_);
  }

 private:
  std::uint32_t state(std::uint32_t node, bool started) {
    const auto [found, fresh] = ids_.try_emplace({node, started}, static_cast<std::uint32_t>(keys_.size()));
    if (fresh) {
      keys_.push_back({node, started});
      out_.add_state();
    }
    return found->second;
  }

  // A text is at its end behind an `end`: only empty steps follow.
  void expand(std::uint32_t id) {
    if (id == newline_) return;
    const auto [node, started] = keys_[id];
    std::vector<std::pair<std::uint32_t, bool>> todo{{node, false}};
    std::map<std::pair<std::uint32_t, bool>, bool> seen{{{node, false}, true}};
    bool accepts = false, accepts_at_end = false;
    while (!todo.empty()) {
      const auto [at, ended] = todo.back();
      todo.pop_back();
      if (at == final_) (ended ? accepts_at_end : accepts) = true;
      for (const NfaEdge& edge : nfa_.edges(at)) {
        if (++work_ > kMaxSteps) pattern_explodes();
        if (edge.kind == NfaEdge::Kind::set) {
          if (ended || edge.set->empty()) continue;
          const std::uint32_t target = state(edge.target, true);
          out_.states[id].steps.push_back({*edge.set, target});
          continue;
        }
        if (edge.kind == NfaEdge::Kind::begin && started) continue;
        const std::pair<std::uint32_t, bool> next{edge.target, ended || edge.kind == NfaEdge::Kind::end};
        if (seen.emplace(next, true).second) todo.push_back(next);
      }
    }
    out_.states[id].accepts = accepts || accepts_at_end;
    if (accepts_at_end && ends_before_newline_) {
      // A state that has no node: behind the line feed that $ overlooks.
      if (!newline_) {
        newline_ = out_.add_state(true);
        keys_.push_back({final_, true});
      }
      out_.states[id].steps.push_back({CodePoints::of('\n'), *newline_});
    }
  }

  const Nfa& nfa_;
  std::uint32_t final_;
  bool ends_before_newline_;
  TextMachine out_;
  std::map<std::pair<std::uint32_t, bool>, std::uint32_t> ids_;
  std::vector<std::pair<std::uint32_t, bool>> keys_;
  std::optional<std::uint32_t> newline_;
  std::size_t work_ = 0;
};

}  // namespace

TextMachine regex_machine(std::string_view pattern, RegexDialect dialect, bool whole) {
  const RegexTree tree = parse_regex(pattern, dialect);
  const RegexTree any{.kind = RegexTree::Kind::set, .set = CodePoints::all()};
  Nfa nfa;
  const std::uint32_t start = nfa.add_node(), final = nfa.add_node();
  nfa.build(tree, start, final);
  if (!whole) {
    nfa.add(start, {NfaEdge::Kind::set, start, &any.set});
    nfa.add(final, {NfaEdge::Kind::set, final, &any.set});
  }
  return Flattener(nfa, final, dialect == RegexDialect::beyond).run(start);
}

}  // namespace powerhouse::constraints
