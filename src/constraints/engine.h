// Constraint::Impl: a grammar and a vocabulary, and what is known of both so far: states, and the tokens that each
// allows.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "constraints/automaton.h"
#include "constraints/states.h"
#include "constraints/token_table.h"
#include "powerhouse/constraint.h"

namespace powerhouse {

struct Constraint::Impl {
  using State = constraints::State;
  /// Bits of the tokens that may come next, ends aside.
  using Mask = std::shared_ptr<const std::vector<std::uint64_t>>;

  Impl(const Tokenizer& tokenizer, const constraints::Grammar& grammar);

  /// Error{range} for a token that is none.
  State step(State state, std::int64_t token, bool first);
  Mask mask(State state, bool first);
  std::size_t vocabulary() const { return tokens_->size(); }

  static Constraint make(const Tokenizer& tokenizer, const constraints::Grammar& grammar) {
    return Constraint(std::make_shared<Impl>(tokenizer, grammar));
  }

  const Tokenizer tokenizer;
  std::mutex mutex;  // held by whoever calls the rest
  const constraints::Automaton automaton;
  constraints::StateSpace states{automaton};

 private:
  void walk(const constraints::TokenTrie& trie, State from, std::vector<std::uint64_t>& bits);
  bool is_free(State state);
  void add_named(State state, std::vector<std::uint64_t>& bits) const;

  const std::shared_ptr<const constraints::TokenTable> tokens_;
  std::vector<std::uint8_t> plain_classes_;
  std::unordered_map<State, Mask> masks_;
  std::uint64_t masks_epoch_ = 0;
  std::vector<State> path_;
};

}  // namespace powerhouse
