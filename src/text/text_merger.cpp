#include "text/text_merger.h"

#include <algorithm>
#include <functional>
#include <queue>

#include "powerhouse/error.h"

namespace powerhouse {
namespace {

// Scanning beats the heap up to about this many symbols; beyond, its n^2 grows.
constexpr std::size_t kShortPiece = 64;
// A look-up costs the length of its text: tokens are held to this.
constexpr std::size_t kMaxToken = 4096;

}  // namespace

TextMerger::TextMerger(const Vocabulary& vocabulary, std::vector<std::uint32_t> orders)
    : vocabulary_(vocabulary), orders_(std::move(orders)) {
  for (std::size_t id = 0; id < orders_.size(); ++id) {
    if (!vocabulary.contains(static_cast<std::int64_t>(id))) continue;
    longest_ = std::max(longest_, vocabulary.text(static_cast<std::int64_t>(id)).size());
  }
  if (longest_ > kMaxToken) {
    throw Error(ErrorKind::format, "a token is too long",
                {.field = "vocabulary", .expected = "at most 4096 bytes", .found = std::to_string(longest_)});
  }
}

std::uint32_t TextMerger::order_of(std::string_view text, std::size_t begin, std::size_t end) const {
  if (end - begin > longest_) return kNever;
  const auto id = vocabulary_.find(text.substr(begin, end - begin));
  return id ? orders_[static_cast<std::size_t>(*id)] : kNever;
}

void TextMerger::merge(std::string_view text, std::vector<std::uint32_t>& starts) const {
  if (text.size() >= kNever) {
    throw Error(ErrorKind::range, "a piece of text without a break is too long",
                {.expected = "less than 4294967295 bytes", .found = std::to_string(text.size())});
  }
  starts.size() <= kShortPiece ? merge_short(text, starts) : merge_long(text, starts);
}

void TextMerger::merge_short(std::string_view text, std::vector<std::uint32_t>& starts) const {
  std::uint32_t pairs[kShortPiece];  // pairs[i]: the order of what symbols i and i + 1 make
  std::size_t count = starts.size();
  const auto end_of = [&](std::size_t i) { return i + 1 < count ? starts[i + 1] : text.size(); };
  const auto pair_at = [&](std::size_t i) { return order_of(text, starts[i], end_of(i + 1)); };
  for (std::size_t i = 0; i + 1 < count; ++i) pairs[i] = pair_at(i);
  while (count > 1) {
    const std::uint32_t* least = std::min_element(pairs, pairs + count - 1);
    if (*least == kNever) break;
    const auto best = static_cast<std::size_t>(least - pairs);
    starts.erase(starts.begin() + static_cast<std::ptrdiff_t>(best) + 1);
    std::copy(pairs + best + 1, pairs + count - 1, pairs + best);
    --count;
    if (best > 0) pairs[best - 1] = pair_at(best - 1);
    if (best + 1 < count) pairs[best] = pair_at(best);
  }
}

void TextMerger::merge_long(std::string_view text, std::vector<std::uint32_t>& starts) const {
  constexpr std::uint32_t kEnd = 0xFFFFFFFF;
  struct Symbol {
    std::uint32_t begin, previous, next;
    std::uint32_t pair;  // the order of what it makes with the next one
  };
  const auto count = static_cast<std::uint32_t>(starts.size());
  std::vector<Symbol> symbols(count);
  std::vector<std::uint64_t> entries;  // order, then position
  const auto entry = [](std::uint32_t order, std::uint32_t at) { return std::uint64_t{order} << 32 | at; };
  const auto end_of = [&](const Symbol& symbol) {
    return symbol.next == kEnd ? text.size() : symbols[symbol.next].begin;
  };
  for (std::uint32_t i = 0; i < count; ++i) {
    symbols[i] = {starts[i], i == 0 ? kEnd : i - 1, i + 1 == count ? kEnd : i + 1, kNever};
  }
  const auto refresh = [&](std::uint32_t at) {
    Symbol& symbol = symbols[at];
    symbol.pair = symbol.next == kEnd ? kNever : order_of(text, symbol.begin, end_of(symbols[symbol.next]));
    return symbol.pair != kNever;
  };
  for (std::uint32_t i = 0; i < count; ++i) {
    if (refresh(i)) entries.push_back(entry(symbols[i].pair, i));
  }
  std::priority_queue<std::uint64_t, std::vector<std::uint64_t>, std::greater<>> queue(std::greater<>{},
                                                                                       std::move(entries));
  while (!queue.empty()) {
    const std::uint64_t top = queue.top();
    queue.pop();
    const auto at = static_cast<std::uint32_t>(top);
    Symbol& symbol = symbols[at];
    // A pair changes when a neighbour merges; an entry that no longer says the pair's order is out of date.
    if (symbol.pair != top >> 32 || symbol.next == kEnd) continue;
    Symbol& right = symbols[symbol.next];
    symbol.next = right.next;
    right.pair = kNever;
    if (right.next != kEnd) symbols[right.next].previous = at;
    if (refresh(at)) queue.push(entry(symbol.pair, at));
    const std::uint32_t before = symbol.previous;
    if (before != kEnd && refresh(before)) queue.push(entry(symbols[before].pair, before));
  }
  starts.clear();
  for (std::uint32_t at = 0; at != kEnd; at = symbols[at].next) starts.push_back(symbols[at].begin);
}

}  // namespace powerhouse
