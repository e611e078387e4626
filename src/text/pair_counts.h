// PairCounts: how often each pair of tokens stands side by side; open addressing, pairs in the order of first sight.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "text/bpe_trainer_words.h"
#include "text/hashing.h"

namespace powerhouse {

class PairCounts {
 public:
  static constexpr std::uint32_t kNoList = 0xFFFFFFFFu;

  PairCounts() : slots_(1024, 0) {}

  /// Adds to a pair's count and gives its index.
  std::size_t add(TokenPair pair, std::int64_t by) {
    std::size_t slot = slot_of(pair);
    if (slots_[slot] == 0) {
      if (rows_.size() * 2 >= slots_.size()) {
        grow();
        slot = slot_of(pair);
      }
      rows_.push_back({pair, 0, kNoList});
      slots_[slot] = static_cast<std::uint32_t>(rows_.size());
    }
    const std::size_t index = slots_[slot] - 1;
    rows_[index].count += by;
    return index;
  }

  /// The index of a pair that was added.
  std::size_t find(TokenPair pair) const { return slots_[slot_of(pair)] - 1; }
  TokenPair pair(std::size_t index) const { return rows_[index].pair; }
  std::int64_t count(std::size_t index) const { return rows_[index].count; }
  /// A number that the trainer keeps with the pair.
  std::uint32_t& list(std::size_t index) { return rows_[index].list; }

 private:
  struct Row {
    TokenPair pair;
    std::int64_t count;
    std::uint32_t list;
  };

  std::size_t slot_of(TokenPair pair) const {
    const std::size_t mask = slots_.size() - 1;
    std::size_t at = hashing::of(pair, key_) & mask;
    while (slots_[at] != 0 && rows_[slots_[at] - 1].pair != pair) at = (at + 1) & mask;
    return at;
  }

  void grow() {
    slots_.assign(slots_.size() * 4, 0);
    for (std::size_t i = 0; i < rows_.size(); ++i) slots_[slot_of(rows_[i].pair)] = static_cast<std::uint32_t>(i + 1);
  }

  std::uint64_t key_ = hashing::key();
  std::vector<Row> rows_;
  std::vector<std::uint32_t> slots_;  // 1 + index into rows_; 0 is free
};

}  // namespace powerhouse
