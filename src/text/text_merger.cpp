#include "text/text_merger.h"

#include <algorithm>

#include "powerhouse/error.h"
#include "text/unicode.h"

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
  if (end - begin > longest_) return kNeverMerges;
  const auto id = vocabulary_.find(text.substr(begin, end - begin));
  return id ? orders_[static_cast<std::size_t>(*id)] : kNeverMerges;
}

void TextMerger::merge(std::string_view text, std::vector<std::uint32_t>& starts) const {
  starts.clear();
  if (text.size() >= kNoSymbol) {
    throw Error(ErrorKind::range, "a piece of text without a break is too long",
                {.expected = "less than 4294967295 bytes", .found = std::to_string(text.size())});
  }
  for (std::size_t at = 0; at < text.size(); at += unicode::sequence_length(text[at])) {
    starts.push_back(static_cast<std::uint32_t>(at));
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
    if (*least == kNeverMerges) break;
    const auto best = static_cast<std::size_t>(least - pairs);
    starts.erase(starts.begin() + static_cast<std::ptrdiff_t>(best) + 1);
    std::copy(pairs + best + 1, pairs + count - 1, pairs + best);
    --count;
    if (best > 0) pairs[best - 1] = pair_at(best - 1);
    if (best + 1 < count) pairs[best] = pair_at(best);
  }
}

void TextMerger::merge_long(std::string_view text, std::vector<std::uint32_t>& starts) const {
  const auto begin_of = [&](std::uint32_t symbol) { return symbol == kNoSymbol ? text.size() : starts[symbol]; };
  const auto order = [&](std::uint32_t at, std::uint32_t, std::uint32_t after) {
    return order_of(text, starts[at], begin_of(after));
  };
  const auto count = static_cast<std::uint32_t>(starts.size());
  const std::vector<std::uint32_t> left = merge_by_heap(count, order, [](std::uint32_t, std::uint32_t) {});
  // Those that are left stand in their order, so none is overwritten before it is read.
  for (std::size_t i = 0; i < left.size(); ++i) starts[i] = starts[left[i]];
  starts.resize(left.size());
}

}  // namespace powerhouse
