// StateSpace: where a text can be in a grammar, made as texts get there. A state is the set of all stacks that the text
// so far may have led to; a step of it by a byte is looked up once it has been computed, so that the pushdown automaton
// runs like a table. Stacks share what lies below: one is a node and the stack of nodes to return to.
//
// States live until the space is cleared, which `epoch` tells: who holds one asks for it and starts over from the text.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <unordered_map>
#include <utility>
#include <vector>

#include "constraints/automaton.h"

namespace powerhouse::constraints {

using State = std::int32_t;

class StateSpace {
 public:
  static constexpr State kDead = 0;  // no text goes on from here

  /// `automaton` must outlive the space. `bytes` is about what it may take before clear_if_full() clears it.
  explicit StateSpace(const Automaton& automaton, std::size_t bytes = std::size_t{64} << 20);

  State start() const { return start_; }
  /// Error{range} where a text may mean too many things at once.
  State step(State state, std::uint8_t byte) { return step_class(state, automaton_.class_of(byte)); }
  State step_class(State state, std::uint8_t byte_class) {
    const State next = steps_[static_cast<std::size_t>(state) * classes_ + byte_class];
    return next >= 0 ? next : compute(state, byte_class);
  }
  State step_text(State state, std::string_view text);
  /// By a token that the grammar names itself, as `<[id]>` and `!<[id]>`.
  State step_token(State state, std::int64_t token);
  /// Both: the text leads to one or to the other.
  State either(State a, State b);

  /// The text so far is whole.
  bool accepts(State state) const { return infos_[static_cast<std::size_t>(state)].accepts; }
  /// Something can follow.
  bool goes_on(State state) const { return infos_[static_cast<std::size_t>(state)].count > 0; }
  /// Calls `visit(id, negated)` for each token that the grammar names here.
  template <typename Visit>
  void each_token(State state, Visit visit) const {
    for (const StackId stack : stacks_of(state)) {
      for (const Edge& edge : automaton_.edges(stacks_[stack].node)) {
        if (edge.kind == Edge::Kind::token) visit(std::int64_t{edge.what}, false);
        if (edge.kind == Edge::Kind::other_token) visit(std::int64_t{edge.what}, true);
      }
    }
  }

  std::uint64_t epoch() const { return epoch_; }
  std::size_t size() const { return infos_.size(); }
  /// Forgets all states where they take too much room.
  void clear_if_full();

 private:
  using StackId = std::uint32_t;
  static constexpr StackId kBottom = ~StackId{0};
  struct Stack {
    Node node;
    StackId below;
  };
  struct Info {
    std::size_t first = 0;
    std::uint32_t count = 0;
    bool accepts = false;
  };

  void clear();
  std::span<const StackId> stacks_of(State state) const {
    const Info& info = infos_[static_cast<std::size_t>(state)];
    return std::span(members_).subspan(info.first, info.count);
  }
  /// Before reach().
  void begin_gathering();
  StackId stack(Node node, StackId below);
  /// Adds what is reached from a node without reading: stacks that read something, and whether the text may end.
  void reach(Node node, StackId below);
  State compute(State state, std::uint8_t byte_class);
  State intern();  // what reach() has gathered

  const Automaton& automaton_;
  std::size_t classes_, limit_;
  State start_ = kDead;
  std::uint64_t epoch_ = 0;
  std::vector<Stack> stacks_;
  std::unordered_map<std::uint64_t, StackId> stack_ids_;
  std::vector<std::uint32_t> seen_;  // by stack: the last gathering that met it
  std::uint32_t gathering_ = 0;
  std::vector<StackId> members_;  // of all states, one behind the other
  std::vector<Info> infos_;
  std::vector<State> steps_;  // by state and class; -1 is not yet known
  std::unordered_multimap<std::uint64_t, State> ids_;
  std::vector<StackId> gathered_, todo_;
  bool gathered_end_ = false;
  std::vector<char> alike_;  // by class: takes the same edges
};

}  // namespace powerhouse::constraints
