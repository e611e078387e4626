#include "constraints/text_machine.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "powerhouse/error.h"
#include "support/utf8.h"

namespace powerhouse::constraints {
namespace {

constexpr std::size_t kMaxTextStates = 50'000;
constexpr std::size_t kMaxWork = 4'000'000;  // steps looked at

[[noreturn]] void text_explodes() {
  throw Error(ErrorKind::range, "a pattern explodes", {.expected = "at most 50,000 states and 4,000,000 steps"});
}

// Numbers states of a new machine by what they stand for, in the order in which they are met.
template <typename Key>
class States {
 public:
  States(TextMachine& machine) : machine_(machine) {}
  std::uint32_t operator()(const Key& key) {
    const auto [found, fresh] = ids_.try_emplace(key, static_cast<std::uint32_t>(keys_.size()));
    if (fresh) {
      if (keys_.size() >= kMaxTextStates) text_explodes();
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

// Large sets that were made once, so that steps share them; what they take is counted as work.
class Sets {
 public:
  explicit Sets(std::size_t& work) : work_(work) {}

  CodePoints intersected(const CodePoints& a, const CodePoints& b) {
    const std::pair<const void*, const void*> key{a.ranges().data(), b.ranges().data()};
    if (const auto found = met_.find(key); found != met_.end()) return found->second;
    CodePoints out = a.intersected(b);
    if (out.ranges().size() <= kSmall) return out;
    work_ += out.ranges().size();
    return met_.emplace(key, std::move(out)).first->second;
  }

  CodePoints of(std::vector<CodePoints::Range> ranges) {
    CodePoints out(std::move(ranges));
    if (out.ranges().size() <= kSmall) return out;
    const auto [found, fresh] = known_.insert(std::move(out));
    if (fresh) work_ += found->ranges().size();
    return *found;
  }

 private:
  static constexpr std::size_t kSmall = 8;
  struct ByRanges {
    bool operator()(const CodePoints& a, const CodePoints& b) const { return a.ranges() < b.ranges(); }
  };
  std::size_t& work_;
  std::map<std::pair<const void*, const void*>, CodePoints> met_;
  std::set<CodePoints, ByRanges> known_;
};

// Characters of which all of `steps` say the same, and where these lead.
struct Piece {
  std::vector<CodePoints::Range> ranges;
  std::vector<std::uint32_t> targets;
};

// Few sets differ: what is cut into ranges is each of them once.
std::vector<Piece> pieces(const std::vector<const TextMachine::Step*>& steps, std::size_t& work) {
  std::map<const void*, std::size_t> numbers;
  std::vector<const CodePoints*> sets;
  std::vector<std::vector<std::uint32_t>> targets;  // by set
  std::vector<char32_t> cuts{0, 0x110000};
  for (const auto* step : steps) {
    const auto [found, fresh] = numbers.try_emplace(step->set.ranges().data(), sets.size());
    if (fresh) {
      sets.push_back(&step->set);
      targets.emplace_back();
      for (const CodePoints::Range& range : step->set.ranges()) cuts.insert(cuts.end(), {range.low, range.high + 1});
    }
    targets[found->second].push_back(step->target);
  }
  if ((work += steps.size()) + cuts.size() > kMaxWork) text_explodes();
  std::sort(cuts.begin(), cuts.end());
  cuts.erase(std::unique(cuts.begin(), cuts.end()), cuts.end());
  std::vector<std::vector<std::size_t>> holders(cuts.size() - 1);  // by range: the sets that hold it
  for (std::size_t set = 0; set < sets.size(); ++set) {
    for (const CodePoints::Range& range : sets[set]->ranges()) {
      auto i = static_cast<std::size_t>(std::lower_bound(cuts.begin(), cuts.end(), range.low) - cuts.begin());
      for (; i < holders.size() && cuts[i] <= range.high; ++i) {
        if (++work > kMaxWork) text_explodes();
        holders[i].push_back(set);
      }
    }
  }
  std::map<std::vector<std::size_t>, Piece> out;
  for (std::size_t i = 0; i < holders.size(); ++i) {
    if (holders[i].empty()) ++work;
    const auto [found, fresh] = out.try_emplace(std::move(holders[i]));
    Piece& piece = found->second;
    piece.ranges.push_back({cuts[i], cuts[i + 1] - 1});
    if (!fresh) continue;
    for (const std::size_t set : found->first) {
      piece.targets.insert(piece.targets.end(), targets[set].begin(), targets[set].end());
    }
    if ((work += piece.targets.size()) > kMaxWork) text_explodes();
    std::sort(piece.targets.begin(), piece.targets.end());
    piece.targets.erase(std::unique(piece.targets.begin(), piece.targets.end()), piece.targets.end());
  }
  std::vector<Piece> list;
  for (auto& [_, piece] : out) list.push_back(std::move(piece));
  return list;
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
  if (last >= kMaxTextStates) text_explodes();
  const CodePoints any = CodePoints::all();
  TextMachine out;
  for (std::uint64_t i = 0; i <= last; ++i) {
    const std::uint32_t state = out.add_state(i >= low);
    if (i < last) out.states[state].steps.push_back({any, state + 1});
    if (i == last && open) out.states[state].steps.push_back({any, state});
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
      if (out.states.size() >= kMaxTextStates) text_explodes();
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
  Sets sets(work);
  for (std::uint32_t state = 0; state < states.size(); ++state) {
    const auto [left, right] = states.key(state);
    out.states[state].accepts = a.states[left].accepts && b.states[right].accepts;
    for (const auto& x : a.states[left].steps) {
      for (const auto& y : b.states[right].steps) {
        if (++work > kMaxWork) text_explodes();
        CodePoints set = sets.intersected(x.set, y.set);
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
  Sets sets(work);
  for (std::uint32_t state = 0; state < states.size(); ++state) {
    const auto members = states.key(state);
    std::vector<const TextMachine::Step*> steps;
    bool accepts = false;
    for (const std::uint32_t member : members) {
      accepts |= machine.states[member].accepts;
      for (const auto& step : machine.states[member].steps) steps.push_back(&step);
    }
    out.states[state].accepts = !accepts;
    std::map<std::uint32_t, std::vector<CodePoints::Range>> by_target;
    for (const Piece& piece : pieces(steps, work)) {
      auto& ranges = by_target[states(piece.targets)];
      ranges.insert(ranges.end(), piece.ranges.begin(), piece.ranges.end());
    }
    for (auto& [target, ranges] : by_target) {
      CodePoints set = sets.of(std::move(ranges));
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
