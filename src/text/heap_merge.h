// Byte-pair merging of many symbols: the pair of the lowest order merges next, the leftmost of equal ones. Pairs wait
// in a heap, so that a word of 10 MB costs n log n.
#pragma once

#include <cstdint>
#include <functional>
#include <queue>
#include <vector>

namespace powerhouse {

inline constexpr std::uint32_t kNoSymbol = 0xFFFFFFFF;
inline constexpr std::uint32_t kNeverMerges = 0xFFFFFFFF;  // the order of a pair that does not merge

/// Merges symbols 0 .. count - 1 (fewer than kNoSymbol of them) as far as they merge, and returns those that are left.
/// `order_of(at, next, after)` is the order in which symbol `at` and its neighbour `next` merge, `after` being the one
/// behind them or kNoSymbol; `join(at, next)` tells that `next` has become a part of `at`. Each pair is asked for when
/// it comes about, the left one of two first.
template <typename OrderOf, typename Join>
std::vector<std::uint32_t> merge_by_heap(std::uint32_t count, OrderOf order_of, Join join) {
  struct Link {
    std::uint32_t previous, next;
    std::uint32_t order = kNeverMerges;  // of the pair with the next symbol
  };
  std::vector<Link> links(count);
  std::vector<std::uint64_t> entries;  // order, then position: the order in which pairs merge
  const auto entry = [](std::uint32_t order, std::uint32_t at) { return std::uint64_t{order} << 32 | at; };
  for (std::uint32_t i = 0; i < count; ++i) links[i] = {i == 0 ? kNoSymbol : i - 1, i + 1 == count ? kNoSymbol : i + 1};
  const auto refresh = [&](std::uint32_t at) {
    Link& link = links[at];
    link.order = link.next == kNoSymbol ? kNeverMerges : order_of(at, link.next, links[link.next].next);
    return link.order != kNeverMerges;
  };
  for (std::uint32_t i = 0; i < count; ++i) {
    if (refresh(i)) entries.push_back(entry(links[i].order, i));
  }
  std::priority_queue<std::uint64_t, std::vector<std::uint64_t>, std::greater<>> queue(std::greater<>{},
                                                                                       std::move(entries));
  while (!queue.empty()) {
    const std::uint64_t top = queue.top();
    queue.pop();
    const auto at = static_cast<std::uint32_t>(top);
    Link& link = links[at];
    // A pair changes when a neighbour merges; an entry that no longer says the pair's order is out of date.
    if (link.order != top >> 32 || link.next == kNoSymbol) continue;
    const std::uint32_t merged = link.next;
    join(at, merged);
    link.next = links[merged].next;
    links[merged].order = kNeverMerges;
    if (link.next != kNoSymbol) links[link.next].previous = at;
    const std::uint32_t before = link.previous;
    if (before != kNoSymbol && refresh(before)) queue.push(entry(links[before].order, before));
    if (refresh(at)) queue.push(entry(link.order, at));
  }
  std::vector<std::uint32_t> left;
  for (std::uint32_t at = count == 0 ? kNoSymbol : 0; at != kNoSymbol; at = links[at].next) left.push_back(at);
  return left;
}

}  // namespace powerhouse
