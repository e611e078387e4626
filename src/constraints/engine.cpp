#include "constraints/engine.h"

#include <algorithm>
#include <string>

#include "powerhouse/error.h"

namespace powerhouse {
namespace {

using constraints::StateSpace;
using constraints::TokenTable;
using constraints::TokenTrie;

constexpr std::size_t kMaskBytes = std::size_t{64} << 20;  // kept

void set_bit(std::vector<std::uint64_t>& bits, std::size_t id) { bits[id / 64] |= std::uint64_t{1} << (id % 64); }

}  // namespace

Constraint::Impl::Impl(const Tokenizer& tokenizer_, const constraints::Grammar& grammar)
    : tokenizer(tokenizer_), automaton(grammar), tokens_(TokenTable::of(tokenizer_)) {
  for (unsigned byte = 0; byte < 256; ++byte) {
    if (!TokenTable::is_plain(static_cast<unsigned char>(byte))) continue;
    const std::uint8_t one = automaton.class_of(static_cast<std::uint8_t>(byte));
    if (plain_classes_.empty() || plain_classes_.back() != one) plain_classes_.push_back(one);
  }
}

Constraint::Impl::State Constraint::Impl::step(State state, std::int64_t token, bool first) {
  if (token < 0 || static_cast<std::size_t>(token) >= tokens_->size()) {
    throw Error(ErrorKind::range, "no token has this id", {.field = "token", .found = std::to_string(token)});
  }
  const std::string& bytes = tokens_->text(token, first);
  const State by_text = bytes.empty() ? StateSpace::kDead : states.step_text(state, bytes);
  return automaton.has_tokens() ? states.either(by_text, states.step_token(state, token)) : by_text;
}

// Nodes stand in the order of the walk: where the grammar goes on the next node is the next to look at, where it does
// not the walk jumps over all that begins so.
void Constraint::Impl::walk(const TokenTrie& trie, State from, std::vector<std::uint64_t>& bits) {
  path_.resize(trie.depth() + 1);
  path_[0] = from;
  const auto& nodes = trie.nodes();
  for (std::size_t i = 0; i < nodes.size();) {
    const TokenTrie::Node& node = nodes[i];
    const State next = states.step(path_[node.depth - 1], node.byte);
    if (next == StateSpace::kDead) {
      i = node.end;
      continue;
    }
    path_[node.depth] = next;
    for (std::uint32_t k = 0; k < node.tokens; ++k) set_bit(bits, static_cast<std::size_t>(trie.ids()[node.first + k]));
    ++i;
  }
}

// Whether any plain text of a plain token's length may follow: as long as all plain bytes lead to one and the same
// state.
bool Constraint::Impl::is_free(State state) {
  for (std::size_t length = 0; length < TokenTable::kPlainLength; ++length) {
    const State next = states.step_class(state, plain_classes_.front());
    if (next == StateSpace::kDead) return false;
    for (const std::uint8_t one : plain_classes_) {
      if (states.step_class(state, one) != next) return false;
    }
    if (next == state) return true;
    state = next;
  }
  return true;
}

void Constraint::Impl::add_named(State state, std::vector<std::uint64_t>& bits) const {
  const auto ends = tokenizer.end_of_generation_ids();
  states.each_token(state, [&](std::int64_t named, bool negated) {
    if (!negated) return set_bit(bits, static_cast<std::size_t>(named));
    for (std::size_t id = 0; id < tokens_->size(); ++id) {
      const auto token = static_cast<std::int64_t>(id);
      if (token != named && std::find(ends.begin(), ends.end(), token) == ends.end()) set_bit(bits, id);
    }
  });
}

Constraint::Impl::Mask Constraint::Impl::mask(State state, bool first) {
  const bool own = first && tokens_->first_trie.has_value();
  if (masks_epoch_ != states.epoch() || masks_.size() * (tokens_->size() / 8 + 64) > kMaskBytes) {
    masks_.clear();
    masks_epoch_ = states.epoch();
  }
  const State key = own ? -1 - state : state;
  if (const auto found = masks_.find(key); found != masks_.end()) return found->second;
  std::vector<std::uint64_t> bits = tokens_->no_tokens();
  if (states.goes_on(state)) {
    if (own) {
      walk(*tokens_->first_trie, state, bits);
    } else {
      const bool free = is_free(state);
      if (free) bits = tokens_->plain_bits;
      if (!free) walk(tokens_->plain, state, bits);
      walk(tokens_->others, state, bits);
    }
    if (automaton.has_tokens()) add_named(state, bits);
  }
  return masks_.emplace(key, std::make_shared<const std::vector<std::uint64_t>>(std::move(bits))).first->second;
}

}  // namespace powerhouse
