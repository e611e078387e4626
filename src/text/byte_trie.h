// ByteTrie: a set of byte strings with numbers, walked a byte at a time: all keys that begin a text in one pass.
//
// A double array (Aoe 1989): the child of node s by byte c lies at base[s] + c and names s as its parent, so that a
// step is one addition and one comparison. Built once from sorted keys; the search for free places is bounded.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

namespace powerhouse {

class ByteTrie {
 public:
  using Node = std::uint32_t;
  using Key = std::pair<std::string_view, std::int32_t>;
  static constexpr Node kRoot = 0;

  ByteTrie() = default;
  /// Keys must differ and must not be empty; values are not negative. Error{format} for keys longer than 4096 bytes:
  /// a walk costs up to the longest key at every place of a text.
  explicit ByteTrie(std::vector<Key> keys);

  /// Moves `node` along `byte`; false, and no move, where no key goes on so.
  bool step(Node& node, unsigned char byte) const {
    const Node next = units_[node].base + byte;
    if (next >= units_.size() || units_[next].parent != node) return false;
    node = next;
    return true;
  }
  /// The number of the key that ends at `node`, or -1.
  std::int32_t value(Node node) const { return units_[node].value; }

  /// Calls `visit(end, value)` for each key that `text` holds at `at`, the shortest first.
  template <typename Visit>
  void each_prefix(std::string_view text, std::size_t at, Visit visit) const {
    Node node = kRoot;
    while (at < text.size() && step(node, static_cast<unsigned char>(text[at]))) {
      ++at;
      if (units_[node].value >= 0) visit(at, units_[node].value);
    }
  }

  /// Where the longest of them ends, and its value; {at, -1} where there is none.
  std::pair<std::size_t, std::int32_t> longest_prefix(std::string_view text, std::size_t at) const {
    std::pair<std::size_t, std::int32_t> found{at, -1};
    each_prefix(text, at, [&](std::size_t end, std::int32_t value) { found = {end, value}; });
    return found;
  }

 private:
  struct Unit {
    std::uint32_t base = 1;
    std::uint32_t parent = kFree;
    std::int32_t value = -1;
  };
  static constexpr std::uint32_t kFree = 0xFFFFFFFF;
  class Builder;

  std::vector<Unit> units_{Unit{}};
};

}  // namespace powerhouse
