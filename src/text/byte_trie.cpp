#include "text/byte_trie.h"

#include <algorithm>

#include "powerhouse/error.h"

namespace powerhouse {
namespace {

constexpr std::size_t kMaxKey = 4096;
constexpr std::size_t kMaxTrieUnits = std::size_t{1} << 31;

}  // namespace

// Places the children of one node after the other. Free places form a list in their order; a node looks at a few dozen
// of them before it takes fresh ones at the end.
class ByteTrie::Builder {
 public:
  Builder(std::vector<Unit>& units, const std::vector<Key>& keys) : units_(units), keys_(keys) {
    next_free_.resize(1, 0);
    grow(1024);
  }

  void run() {
    struct Range {
      std::size_t begin, end, depth;
      Node node;
    };
    std::vector<Range> todo{{0, keys_.size(), 0, kRoot}};
    std::vector<unsigned char> bytes;
    std::vector<std::size_t> starts;
    while (!todo.empty()) {
      Range range = todo.back();
      todo.pop_back();
      if (range.begin < range.end && keys_[range.begin].first.size() == range.depth) {
        units_[range.node].value = keys_[range.begin].second;
        ++range.begin;
      }
      bytes.clear();
      starts.clear();
      for (std::size_t i = range.begin; i < range.end; ++i) {
        const auto byte = static_cast<unsigned char>(keys_[i].first[range.depth]);
        if (!bytes.empty() && bytes.back() == byte) continue;
        bytes.push_back(byte);
        starts.push_back(i);
      }
      if (bytes.empty()) continue;
      starts.push_back(range.end);
      const std::uint32_t base = place(bytes);
      units_[range.node].base = base;
      for (const auto byte : bytes) take(base + byte, range.node);
      for (std::size_t i = bytes.size(); i-- > 0;) {
        todo.push_back({starts[i], starts[i + 1], range.depth + 1, base + bytes[i]});
      }
    }
  }

 private:
  void grow(std::size_t size) {
    if (size <= units_.size()) return;
    if (size > kMaxTrieUnits) throw Error(ErrorKind::format, "a vocabulary is too large");
    size = std::max(size, 2 * units_.size());
    const std::size_t old = units_.size();
    units_.resize(size);
    next_free_.resize(size + 1);
    for (std::size_t i = old; i <= size; ++i) next_free_[i] = static_cast<std::uint32_t>(i);
  }

  // The first free place from `at` on, with path compression as in disjoint sets.
  std::uint32_t first_free(std::uint32_t at) {
    std::uint32_t end = at;
    while (end < units_.size() && next_free_[end] != end) end = next_free_[end];
    while (at != end) {
      const std::uint32_t next = next_free_[at];
      next_free_[at] = end;
      at = next;
    }
    return end;
  }

  bool fits(std::uint32_t base, const std::vector<unsigned char>& bytes) {
    grow(std::size_t{base} + 257);
    return std::all_of(bytes.begin(), bytes.end(),
                       [&](unsigned char byte) { return units_[base + byte].parent == kFree; });
  }

  std::uint32_t place(const std::vector<unsigned char>& bytes) {
    constexpr int kTries = 48;
    std::uint32_t at = std::max<std::uint32_t>(hint_, bytes[0] + 1u);
    for (int tries = 0; tries < kTries; ++tries) {
      grow(std::size_t{at} + 2);
      at = first_free(at);
      const std::uint32_t base = at - bytes[0];
      if (fits(base, bytes)) return base;
      ++at;
    }
    hint_ = at;  // what lies before is crowded: later nodes begin here
    while (!fits(end_, bytes)) ++end_;
    return end_;
  }

  void take(std::uint32_t at, Node parent) {
    units_[at].parent = parent;
    next_free_[at] = at + 1;
    end_ = std::max(end_, at + 1);
  }

  std::vector<Unit>& units_;
  const std::vector<Key>& keys_;
  std::vector<std::uint32_t> next_free_;
  std::uint32_t hint_ = 1;
  std::uint32_t end_ = 1;  // nothing is taken from here on
};

ByteTrie::ByteTrie(std::vector<Key> keys) {
  for (const Key& key : keys) {
    if (key.first.size() > kMaxKey) {
      throw Error(ErrorKind::format, "a token is too long",
                  {.field = "vocab", .expected = "at most 4096 bytes", .found = std::to_string(key.first.size())});
    }
  }
  std::sort(keys.begin(), keys.end());
  units_[kRoot].parent = 0xFFFFFFFE;  // no node's child
  Builder(units_, keys).run();
  std::size_t used = units_.size();
  while (used > 1 && units_[used - 1].parent == kFree) --used;
  units_.resize(used);
  units_.shrink_to_fit();
}

}  // namespace powerhouse
