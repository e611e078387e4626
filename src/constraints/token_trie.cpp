#include "constraints/token_trie.h"

#include <algorithm>
#include <limits>

#include "powerhouse/error.h"

namespace powerhouse::constraints {

TokenTrie::TokenTrie(std::vector<Token> tokens) {
  std::sort(tokens.begin(), tokens.end());
  std::vector<std::size_t> path;  // nodes of the last text, by depth
  std::string_view last;
  for (const auto& [text, id] : tokens) {
    if (text.size() > std::numeric_limits<std::uint16_t>::max()) {
      throw Error(ErrorKind::unsupported, "a token is too long", {.field = "token " + std::to_string(id)});
    }
    const auto common = static_cast<std::size_t>(
        std::mismatch(last.begin(), last.end(), text.begin(), text.end()).first - last.begin());
    for (std::size_t depth = common; depth < path.size(); ++depth) {
      nodes_[path[depth]].end = static_cast<std::uint32_t>(nodes_.size());
    }
    path.resize(common);
    for (std::size_t depth = common; depth < text.size(); ++depth) {
      path.push_back(nodes_.size());
      nodes_.push_back({.byte = static_cast<std::uint8_t>(text[depth]),
                        .depth = static_cast<std::uint16_t>(depth + 1),
                        .first = static_cast<std::uint32_t>(ids_.size())});
    }
    if (nodes_[path.back()].tokens == 0) nodes_[path.back()].first = static_cast<std::uint32_t>(ids_.size());
    ++nodes_[path.back()].tokens;
    ids_.push_back(id);
    depth_ = std::max(depth_, text.size());
    last = text;
  }
  for (const std::size_t node : path) nodes_[node].end = static_cast<std::uint32_t>(nodes_.size());
}

}  // namespace powerhouse::constraints
