#include "constraints/states.h"

#include <algorithm>

#include "powerhouse/error.h"

namespace powerhouse::constraints {
namespace {

constexpr std::size_t kMaxStacks = 20'000;  // in one state

std::uint64_t mix(std::uint64_t hash, std::uint64_t value) {
  hash ^= value + 0x9E3779B97F4A7C15ull + (hash << 6) + (hash >> 2);
  return hash * 0xFF51AFD7ED558CCDull;
}

}  // namespace

StateSpace::StateSpace(const Automaton& automaton, std::size_t bytes)
    : automaton_(automaton), classes_(automaton.class_count()), limit_(bytes) {
  clear();
}

void StateSpace::clear() {
  ++epoch_;
  stacks_.clear();
  stack_ids_.clear();
  seen_.clear();
  gathering_ = 0;
  members_.clear();
  infos_.assign(1, {});
  steps_.assign(classes_, kDead);
  ids_.clear();
  begin_gathering();
  reach(automaton_.root(), kBottom);
  start_ = intern();
}

void StateSpace::clear_if_full() {
  const std::size_t bytes =
      steps_.size() * sizeof(State) + members_.size() * sizeof(StackId) + stacks_.size() * 64 + infos_.size() * 64;
  if (bytes > limit_) clear();
}

void StateSpace::begin_gathering() {
  ++gathering_;
  gathered_.clear();
  gathered_end_ = false;
}

StateSpace::StackId StateSpace::stack(Node node, StackId below) {
  const auto [found, fresh] =
      stack_ids_.try_emplace(std::uint64_t{node} << 32 | below, static_cast<StackId>(stacks_.size()));
  if (fresh) {
    stacks_.push_back({node, below});
    seen_.push_back(0);
  }
  return found->second;
}

void StateSpace::reach(Node node, StackId below) {
  const auto visit = [&](Node at, StackId under) {
    const StackId id = stack(at, under);
    if (seen_[id] == gathering_) return;
    seen_[id] = gathering_;
    todo_.push_back(id);
  };
  visit(node, below);
  while (!todo_.empty()) {
    const StackId id = todo_.back();
    todo_.pop_back();
    const Stack top = stacks_[id];
    if (automaton_.reads(top.node)) {
      if (gathered_.size() >= kMaxStacks) {
        throw Error(ErrorKind::range, "a grammar is too ambiguous: a text may mean too many things at once",
                    {.field = "constraint", .expected = "at most 20,000"});
      }
      gathered_.push_back(id);
    }
    if (automaton_.accepts(top.node)) {
      if (top.below == kBottom) {
        gathered_end_ = true;
      } else {
        visit(stacks_[top.below].node, stacks_[top.below].below);
      }
    }
    for (const Edge& edge : automaton_.edges(top.node)) {
      if (edge.kind == Edge::Kind::empty) visit(edge.target, top.below);
      if (edge.kind != Edge::Kind::call) continue;
      const StackId under = automaton_.only_accepts(edge.target) ? top.below : stack(edge.target, top.below);
      visit(automaton_.start(edge.what), under);
    }
  }
}

State StateSpace::intern() {
  if (gathered_.empty() && !gathered_end_) return kDead;
  std::sort(gathered_.begin(), gathered_.end());
  std::uint64_t hash = gathered_end_ ? 1 : 2;
  for (const StackId id : gathered_) hash = mix(hash, id);
  const auto [begin, end] = ids_.equal_range(hash);
  for (auto it = begin; it != end; ++it) {
    const auto stacks = stacks_of(it->second);
    if (accepts(it->second) == gathered_end_ &&
        std::equal(stacks.begin(), stacks.end(), gathered_.begin(), gathered_.end()))
      return it->second;
  }
  const auto state = static_cast<State>(infos_.size());
  infos_.push_back(
      {.first = members_.size(), .count = static_cast<std::uint32_t>(gathered_.size()), .accepts = gathered_end_});
  members_.insert(members_.end(), gathered_.begin(), gathered_.end());
  steps_.insert(steps_.end(), classes_, -1);
  ids_.emplace(hash, state);
  return state;
}

// Classes of bytes that take the same edges lead to the same state: in the middle of a text that is most of them.
State StateSpace::compute(State state, std::uint8_t byte_class) {
  const std::uint8_t byte = automaton_.representative(byte_class);
  begin_gathering();
  const Info info = infos_[static_cast<std::size_t>(state)];
  alike_.assign(classes_, true);
  for (std::size_t i = 0; i < info.count; ++i) {
    const Stack top = stacks_[members_[info.first + i]];
    for (const Edge& edge : automaton_.edges(top.node)) {
      if (edge.kind != Edge::Kind::bytes) continue;
      const bool takes = edge.low <= byte && byte <= edge.high;
      if (takes) reach(edge.target, top.below);
      const std::size_t low = automaton_.class_of(edge.low), high = automaton_.class_of(edge.high);
      for (std::size_t other = takes ? 0 : low; other <= (takes ? classes_ - 1 : high); ++other) {
        if ((low <= other && other <= high) != takes) alike_[other] = false;
      }
    }
  }
  const State next = intern();
  State* const row = steps_.data() + static_cast<std::size_t>(state) * classes_;
  for (std::size_t other = 0; other < classes_; ++other) {
    if (alike_[other]) row[other] = next;
  }
  return next;
}

State StateSpace::step_text(State state, std::string_view text) {
  for (const char byte : text) {
    if (state == kDead) break;
    state = step(state, static_cast<std::uint8_t>(byte));
  }
  return state;
}

State StateSpace::step_token(State state, std::int64_t token) {
  begin_gathering();
  const Info info = infos_[static_cast<std::size_t>(state)];
  for (std::size_t i = 0; i < info.count; ++i) {
    const Stack top = stacks_[members_[info.first + i]];
    for (const Edge& edge : automaton_.edges(top.node)) {
      const bool named = (edge.kind == Edge::Kind::token && edge.what == token) ||
                         (edge.kind == Edge::Kind::other_token && edge.what != token);
      if (named) reach(edge.target, top.below);
    }
  }
  return intern();
}

State StateSpace::either(State a, State b) {
  if (a == kDead || a == b) return b;
  if (b == kDead) return a;
  gathered_.clear();
  gathered_end_ = accepts(a) || accepts(b);
  for (const State state : {a, b}) {
    const auto stacks = stacks_of(state);
    gathered_.insert(gathered_.end(), stacks.begin(), stacks.end());
  }
  std::sort(gathered_.begin(), gathered_.end());
  gathered_.erase(std::unique(gathered_.begin(), gathered_.end()), gathered_.end());
  return intern();
}

}  // namespace powerhouse::constraints
