#include "text/word_table.h"

#include <algorithm>
#include <cstring>
#include <limits>

#include "powerhouse/error.h"
#include "text/hashing.h"

namespace powerhouse {

void WordTable::add(std::string_view word, std::uint64_t count) {
  if (entries_.size() * 2 >= slots_.size()) grow();
  const std::uint64_t hash = hashing::of(word, hashing::key());
  const auto tag = static_cast<std::uint32_t>(hash >> 32);
  const std::size_t mask = slots_.size() - 1;
  std::size_t at = hash & mask;
  for (; slots_[at] != 0; at = (at + 1) & mask) {
    Entry& entry = entries_[slots_[at] - 1];
    if (entry.tag == tag && entry.text() == word) {
      entry.count += count;
      return;
    }
  }
  constexpr std::size_t kMost = std::numeric_limits<std::uint32_t>::max();
  if (word.size() > kMost || entries_.size() + 1 >= kMost) {
    throw Error(
        ErrorKind::memory, "more than a table of words holds",
        {.field = word.size() > kMost ? "the length of a word" : "distinct words", .expected = "less than 2^32"});
  }
  entries_.push_back({keep(word), static_cast<std::uint32_t>(word.size()), tag, count});
  slots_[at] = static_cast<std::uint32_t>(entries_.size());
}

void WordTable::add_all(const WordTable& other) {
  for (const Entry& entry : other.entries_) add(entry.text(), entry.count);
}

const char* WordTable::keep(std::string_view word) {
  constexpr std::size_t kBlock = std::size_t{1} << 18;
  if (word.size() > left_) {
    left_ = std::max(kBlock, word.size());
    blocks_.push_back(std::make_unique_for_overwrite<char[]>(left_));
    free_ = blocks_.back().get();
  }
  char* const place = free_;
  std::copy(word.begin(), word.end(), place);
  free_ += word.size();
  left_ -= word.size();
  return place;
}

// Only the lower half of a hash picks the slot and only the upper half is kept, so a larger table hashes anew.
void WordTable::grow() {
  slots_.assign(std::max<std::size_t>(1024, slots_.size() * 4), 0);
  const std::size_t mask = slots_.size() - 1;
  for (std::size_t i = 0; i < entries_.size(); ++i) {
    std::size_t at = hashing::of(entries_[i].text(), hashing::key()) & mask;
    while (slots_[at] != 0) at = (at + 1) & mask;
    slots_[at] = static_cast<std::uint32_t>(i + 1);
  }
}

}  // namespace powerhouse
