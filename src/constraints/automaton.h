// Automaton: a grammar as a pushdown automaton over bytes. Each rule is a small nondeterministic automaton; a call
// pushes the node to return to. Characters are spelled as ranges of bytes, so that a token that ends inside a character
// is nothing special.
//
// What can't end is cut off: from each node that is left, some text leads to the end. So nobody is ever led into a dead
// end.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "constraints/grammar.h"

namespace powerhouse::constraints {

using Node = std::uint32_t;

struct Edge {
  enum class Kind : std::uint8_t { empty, bytes, call, token, other_token };
  Kind kind = Kind::empty;
  std::uint8_t low = 0, high = 0;  // bytes
  std::uint32_t what = 0;          // call: the rule; token: its id
  Node target = 0;
};

class Automaton {
 public:
  /// Error{format} naming a rule that is left recursive or not defined, or the root where nothing can meet it;
  /// Error{range} where it explodes.
  explicit Automaton(const Grammar& grammar);

  std::span<const Edge> edges(Node node) const {
    return std::span(edges_).subspan(first_[node], first_[node + 1] - first_[node]);
  }
  /// The rule that `node` belongs to may end here.
  bool accepts(Node node) const { return (flags_[node] & kAccepts) != 0; }
  /// Nothing but that: a call that returns here need not be remembered.
  bool only_accepts(Node node) const { return (flags_[node] & kOnlyAccepts) != 0; }
  /// Whether an edge leaves `node` that reads something.
  bool reads(Node node) const { return (flags_[node] & kReads) != 0; }
  Node start(std::uint32_t rule) const { return starts_[rule]; }
  Node root() const { return starts_[root_]; }

  /// Bytes that no edge tells apart share a class.
  std::uint8_t class_of(std::uint8_t byte) const { return class_of_[byte]; }
  const std::array<std::uint8_t, 256>& classes() const { return class_of_; }
  std::size_t class_count() const { return representatives_.size(); }
  std::uint8_t representative(std::size_t byte_class) const { return representatives_[byte_class]; }
  bool has_tokens() const { return has_tokens_; }
  std::size_t size() const { return flags_.size(); }

 private:
  class Builder;
  static constexpr std::uint8_t kAccepts = 1, kOnlyAccepts = 2, kReads = 4;

  std::vector<Edge> edges_;
  std::vector<std::uint32_t> first_;
  std::vector<std::uint8_t> flags_;
  std::vector<Node> starts_;  // by rule
  std::uint32_t root_ = 0;
  std::array<std::uint8_t, 256> class_of_{};
  std::vector<std::uint8_t> representatives_;
  bool has_tokens_ = false;
};

}  // namespace powerhouse::constraints
