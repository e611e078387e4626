// How Bpe merges the symbols of a word.
#include <algorithm>
#include <limits>

#include "powerhouse/error.h"
#include "text/bpe.h"
#include "text/heap_merge.h"
#include "text/scratch.h"

namespace powerhouse {
namespace {

// A short word while it merges, as arrays by position. A pair's key is its rank and then its position, so that the
// least of all keys is the pair that merges next; a position that was merged away has no key. Nothing moves.
struct ShortWord {
  static constexpr std::int32_t kNone = std::numeric_limits<std::int32_t>::max();
  static constexpr int kPositionBits = 6;
  static constexpr std::size_t kMost = std::size_t{1} << kPositionBits;
  static constexpr std::size_t kStep = 8;  // positions looked at together

  std::int32_t ids[kMost];
  std::int32_t keys[kMost];     // of the pair that a position makes with the next one
  std::int32_t results[kMost];  // what that merges into
  std::uint8_t next[kMost + 1];
  std::uint8_t previous[kMost + 1];

  void set(std::size_t at, const MergeTable::Merge& merge) {
    const bool merges = merge.rank != MergeTable::kNoRank;
    keys[at] = merges ? merge.rank << kPositionBits | static_cast<std::int32_t>(at) : kNone;
    results[at] = merge.result;
  }
  // Call once the pairs are set.
  void link(std::size_t count) {
    for (std::size_t at = count - 1; at % kStep != 0 || at == count - 1; ++at) keys[at] = kNone;
    for (std::size_t at = 0; at < count; ++at) {
      next[at] = static_cast<std::uint8_t>(at + 1);
      previous[at + 1] = static_cast<std::uint8_t>(at);
    }
  }
  // The least key; whole steps, which the compiler turns into vectors.
  std::int32_t least(std::size_t count) const {
    std::int32_t found[kStep];
    std::copy_n(keys, kStep, found);
    for (std::size_t at = kStep; at < count; at += kStep) {
      for (std::size_t i = 0; i < kStep; ++i) found[i] = std::min(found[i], keys[at + i]);
    }
    return *std::min_element(found, found + kStep);
  }
};

void merge_word(const MergeTable& merges, ShortWord& word, std::size_t count, std::vector<std::int64_t>& out) {
  word.link(count);
  const auto look = [&](std::size_t at, std::size_t next) {
    word.set(at, next == count ? MergeTable::Merge{} : merges.find(word.ids[at], word.ids[next]));
  };
  for (std::int32_t key = word.least(count); key != ShortWord::kNone; key = word.least(count)) {
    const auto at = static_cast<std::size_t>(key) % ShortWord::kMost;
    const std::size_t right = word.next[at];
    const std::size_t after = word.next[right];
    word.ids[at] = word.results[at];
    word.keys[right] = ShortWord::kNone;
    word.next[at] = static_cast<std::uint8_t>(after);
    word.previous[after] = static_cast<std::uint8_t>(at);
    // Both pairs are fetched before either is looked at: most of a new word's time is waiting for this table.
    const std::size_t before = at > 0 ? word.previous[at] : at;
    if (after != count) merges.prefetch(word.ids[at], word.ids[after]);
    if (at > 0) merges.prefetch(word.ids[before], word.ids[at]);
    look(at, after);
    if (at > 0) look(before, at);
  }
  for (std::size_t at = 0; at < count; at = word.next[at]) out.push_back(word.ids[at]);
}

}  // namespace

// Byte-level vocabularies alone; look-ups of pairs of bytes are most of all, and here they are near each other.
void Bpe::find_byte_pairs() {
  if (alphabet_[' '] < 0 || !has_short_ranks()) return;
  std::vector<std::int16_t> bytes(vocabulary_.size(), -1);
  for (std::size_t byte = 0; byte < 256; ++byte) {
    if (alphabet_[byte] >= 0) bytes[static_cast<std::size_t>(alphabet_[byte])] = static_cast<std::int16_t>(byte);
  }
  byte_pairs_.resize(std::size_t{256} * 256);
  merges_.each([&](std::int32_t left, std::int32_t right, const MergeTable::Merge& merge) {
    const int first = bytes[static_cast<std::size_t>(left)];
    const int second = bytes[static_cast<std::size_t>(right)];
    if (first < 0 || second < 0) return;
    byte_pairs_[256 * static_cast<std::size_t>(first) + static_cast<std::size_t>(second)] = merge;
  });
}

bool Bpe::has_short_ranks() const { return merges_.ranks() < ShortWord::kNone >> ShortWord::kPositionBits; }

bool Bpe::merge_bytes(std::string_view piece, std::vector<std::int64_t>& out) const {
  if (piece.size() > ShortWord::kMost || piece.empty() || byte_pairs_.empty()) return false;
  ShortWord word;
  const auto byte_at = [&](std::size_t at) { return static_cast<std::size_t>(static_cast<unsigned char>(piece[at])); };
  for (std::size_t at = 0; at < piece.size(); ++at) {
    word.ids[at] = alphabet_[byte_at(at)];
    if (word.ids[at] < 0) return false;
  }
  for (std::size_t at = 0; at + 1 < piece.size(); ++at) {
    word.set(at, byte_pairs_[256 * byte_at(at) + byte_at(at + 1)]);
  }
  merge_word(merges_, word, piece.size(), out);
  return true;
}

void Bpe::merge(std::vector<std::int32_t>& ids, std::vector<std::int64_t>& out) const {
  if (ids.size() <= ShortWord::kMost && has_short_ranks()) {
    merge_short(ids, out);
  } else {
    merge_long(ids, out);
  }
  give_back_if_large(ids);
}

void Bpe::merge_short(const std::vector<std::int32_t>& ids, std::vector<std::int64_t>& out) const {
  if (ids.empty()) return;
  ShortWord word;
  std::copy(ids.begin(), ids.end(), word.ids);
  for (std::size_t at = 0; at + 1 < ids.size(); ++at) word.set(at, merges_.find(ids[at], ids[at + 1]));
  merge_word(merges_, word, ids.size(), out);
}

void Bpe::merge_long(const std::vector<std::int32_t>& ids, std::vector<std::int64_t>& out) const {
  if (ids.size() >= kNoSymbol) {
    throw Error(ErrorKind::range, "a piece of text without a break is too long",
                {.expected = "less than 4294967295 characters", .found = std::to_string(ids.size())});
  }
  std::vector<std::int32_t> symbols = ids;
  std::vector<std::int32_t> results(ids.size());  // what each makes with the next one
  const auto order_of = [&](std::uint32_t at, std::uint32_t next, std::uint32_t) {
    const MergeTable::Merge merge = merges_.find(symbols[at], symbols[next]);
    results[at] = merge.result;
    return merge.rank == MergeTable::kNoRank ? kNeverMerges : static_cast<std::uint32_t>(merge.rank);
  };
  const auto join = [&](std::uint32_t at, std::uint32_t) { symbols[at] = results[at]; };
  for (const std::uint32_t at : merge_by_heap(static_cast<std::uint32_t>(ids.size()), order_of, join)) {
    out.push_back(symbols[at]);
  }
}

}  // namespace powerhouse
