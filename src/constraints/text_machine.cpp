#include "constraints/text_machine.h"

#include <algorithm>
#include <map>

#include "powerhouse/error.h"
#include "support/utf8.h"

namespace powerhouse::constraints {
namespace {

constexpr std::size_t kMaxStates = 50'000;
constexpr std::size_t kMaxWork = 4'000'000;  // steps looked at

[[noreturn]] void explode() {
  throw Error(ErrorKind::range, "a pattern explodes", {.expected = "at most 50,000 states"});
}

// Numbers states of a new machine by what they stand for, in the order in which they are met.
template <typename Key>
class States {
 public:
  States(TextMachine& machine) : machine_(machine) {}
  std::uint32_t operator()(const Key& key) {
    const auto [found, fresh] = ids_.try_emplace(key, static_cast<std::uint32_t>(keys_.size()));
    if (fresh) {
      if (keys_.size() >= kMaxStates) explode();
      keys_.push_back(key);
      machine_.add_state();
    }
    return found->second;
  }
  std::size_t size() const { return keys_.size(); }
  Key key(std::size_t state) const { return keys_[state]; }

 private:
  TextMachine& machine_;
  std::map<Key, std::uint32_t> ids_;
  std::vector<Key> keys_;
};

// Ranges in which all of `steps` say the same, and where each leads: sets of targets by range.
struct Piece {
  CodePoints::Range range;
  std::vector<std::uint32_t> targets;
};
std::vector<Piece> pieces(const std::vector<const TextMachine::Step*>& steps) {
  std::vector<char32_t> cuts{0, 0x110000};
  for (const auto* step : steps) {
    for (const CodePoints::Range& range : step->set.ranges()) {
      cuts.push_back(range.low);
      cuts.push_back(range.high + 1);
    }
  }
  std::sort(cuts.begin(), cuts.end());
  cuts.erase(std::unique(cuts.begin(), cuts.end()), cuts.end());
  std::vector<Piece> out;
  for (std::size_t i = 0; i + 1 < cuts.size(); ++i) out.push_back({{cuts[i], cuts[i + 1] - 1}, {}});
  for (const auto* step : steps) {
    for (const CodePoints::Range& range : step->set.ranges()) {
      auto i = static_cast<std::size_t>(std::lower_bound(cuts.begin(), cuts.end(), range.low) - cuts.begin());
      for (; i < out.size() && out[i].range.low <= range.high; ++i) out[i].targets.push_back(step->target);
    }
  }
  for (Piece& piece : out) {
    std::sort(piece.targets.begin(), piece.targets.end());
    piece.targets.erase(std::unique(piece.targets.begin(), piece.targets.end()), piece.targets.end());
  }
  return out;
}

}  // namespace

bool TextMachine::possible() const {
  std::vector<bool> seen(states.size(), false);
  std::vector<std::uint32_t> todo;
  if (!states.empty()) todo.push_back(start);
  while (!todo.empty()) {
    const std::uint32_t at = todo.back();
    todo.pop_back();
    if (seen[at]) continue;
    seen[at] = true;
    if (states[at].accepts) return true;
    for (const Step& step : states[at].steps) todo.push_back(step.target);
  }
  return false;
}

bool TextMachine::matches(std::string_view text) const {
  std::vector<std::uint32_t> now{start}, next;
  while (!text.empty() && !now.empty()) {
    const Utf8Step character = decode_utf8(text);
    text.remove_prefix(character.length);
    next.clear();
    for (const std::uint32_t state : now) {
      for (const Step& step : states[state].steps) {
        if (character.valid && step.set.contains(character.code_point)) next.push_back(step.target);
      }
    }
    std::sort(next.begin(), next.end());
    next.erase(std::unique(next.begin(), next.end()), next.end());
    now.swap(next);
  }
  return std::any_of(now.begin(), now.end(), [&](std::uint32_t state) { return states[state].accepts; });
}

TextMachine lengths_machine(std::uint64_t low, std::uint64_t high) {
  const bool open = high == Grammar::kUnbounded;
  const std::uint64_t last = open ? low : high;
  if (last >= kMaxStates) explode();
  TextMachine out;
  for (std::uint64_t i = 0; i <= last; ++i) {
    const std::uint32_t state = out.add_state(i >= low);
    if (i < last) out.states[state].steps.push_back({CodePoints::all(), state + 1});
    if (i == last && open) out.states[state].steps.push_back({CodePoints::all(), state});
  }
  return out;
}

TextMachine texts_machine(std::span<const std::string> texts) {
  TextMachine out;
  out.add_state();
  for (std::string_view text : texts) {
    std::uint32_t at = out.start;
    while (!text.empty()) {
      const Utf8Step character = decode_utf8(text);
      text.remove_prefix(character.length);
      const auto set = CodePoints::of(character.code_point);
      auto& steps = out.states[at].steps;
      const auto found = std::find_if(steps.begin(), steps.end(), [&](const auto& step) { return step.set == set; });
      if (found != steps.end()) {
        at = found->target;
        continue;
      }
      if (out.states.size() >= kMaxStates) explode();
      const std::uint32_t next = out.add_state();
      out.states[at].steps.push_back({set, next});
      at = next;
    }
    out.states[at].accepts = true;
  }
  return out;
}

TextMachine both(const TextMachine& a, const TextMachine& b) {
  TextMachine out;
  States<std::pair<std::uint32_t, std::uint32_t>> states(out);
  out.start = states({a.start, b.start});
  std::size_t work = 0;
  for (std::uint32_t state = 0; state < states.size(); ++state) {
    const auto [left, right] = states.key(state);
    out.states[state].accepts = a.states[left].accepts && b.states[right].accepts;
    for (const auto& x : a.states[left].steps) {
      for (const auto& y : b.states[right].steps) {
        if (++work > kMaxWork) explode();
        CodePoints set = x.set.intersected(y.set);
        if (set.empty()) continue;
        const std::uint32_t target = states({x.target, y.target});
        out.states[state].steps.push_back({std::move(set), target});
      }
    }
  }
  return out;
}

TextMachine complement(const TextMachine& machine) {
  TextMachine out;
  States<std::vector<std::uint32_t>> states(out);
  out.start = states({machine.start});
  std::size_t work = 0;
  for (std::uint32_t state = 0; state < states.size(); ++state) {
    const auto members = states.key(state);
    std::vector<const TextMachine::Step*> steps;
    bool accepts = false;
    for (const std::uint32_t member : members) {
      accepts |= machine.states[member].accepts;
      for (const auto& step : machine.states[member].steps) steps.push_back(&step);
    }
    out.states[state].accepts = !accepts;
    std::map<std::uint32_t, CodePoints> by_target;
    for (const Piece& piece : pieces(steps)) {
      if ((work += 1 + piece.targets.size()) > kMaxWork) explode();
      by_target[states(piece.targets)].add(piece.range);
    }
    for (auto& [target, set] : by_target) {
      if (!set.empty()) out.states[state].steps.push_back({std::move(set), target});
    }
  }
  return out;
}

ExprId to_expr(Grammar& grammar, const TextMachine& machine, const std::function<ExprId(const CodePoints&)>& spell) {
  Machine out;
  out.start = machine.start;
  std::vector<std::pair<const CodePoints*, ExprId>> spelled;  // few sets differ
  for (const auto& state : machine.states) out.add_state(state.accepts);
  for (std::uint32_t from = 0; from < machine.states.size(); ++from) {
    for (const auto& step : machine.states[from].steps) {
      const std::size_t recent = spelled.size() > 64 ? spelled.size() - 64 : 0;
      auto found = std::find_if(spelled.begin() + static_cast<std::ptrdiff_t>(recent), spelled.end(),
                                [&](const auto& entry) { return *entry.first == step.set; });
      if (found == spelled.end()) found = spelled.insert(spelled.end(), {&step.set, spell(step.set)});
      out.steps.push_back({.from = from, .to = step.target, .what = found->second});
    }
  }
  return grammar.machine(std::move(out));
}

ExprId to_expr(Grammar& grammar, const TextMachine& machine) {
  return to_expr(grammar, machine, [&](const CodePoints& set) { return grammar.characters(set); });
}

}  // namespace powerhouse::constraints
