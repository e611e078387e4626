// TokenTrie: the texts of a vocabulary's tokens as a tree of bytes, laid out in the order of a walk through all of it.
//
// Nodes stand depth first, each with the place behind its subtree: a walk reads memory forward, and steps over what is
// not allowed. (text/byte_trie.h answers the opposite question: which tokens does a given text begin with.)
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace powerhouse::constraints {

class TokenTrie {
 public:
  using Token = std::pair<std::string, std::int32_t>;  // text and id

  /// Tokens may share a text; texts must not be empty.
  explicit TokenTrie(std::vector<Token> tokens);

  struct Node {
    std::uint8_t byte = 0;
    std::uint16_t depth = 0;   // bytes from the root, this one included
    std::uint32_t tokens = 0;  // how many end here
    std::uint32_t end = 0;     // the first node behind its subtree
    std::uint32_t first = 0;   // of its tokens in ids()
  };
  const std::vector<Node>& nodes() const { return nodes_; }
  const std::vector<std::int32_t>& ids() const { return ids_; }
  std::size_t depth() const { return depth_; }

 private:
  std::vector<Node> nodes_;
  std::vector<std::int32_t> ids_;
  std::size_t depth_ = 0;
};

}  // namespace powerhouse::constraints
