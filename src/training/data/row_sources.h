// What corpora of any kind check and keep of the files that their rows come from.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <set>
#include <span>
#include <vector>

#include "powerhouse/dataset.h"

namespace powerhouse::training {

/// Error{usage} where there are none, or the size is negative.
void check_sources(const std::vector<DatasetSource>& sources, double val_set_size);
/// Error{unsupported} where 32 bits don't number them.
void check_row_count(std::int64_t rows);

/// The tokens that end a text or a turn by the tokenizer's own word.
std::set<std::int64_t> end_tokens(const Tokenizer& tokenizer);
bool has_doubled_bos(std::span<const std::int64_t> ids, std::optional<std::int64_t> bos);

/// The source that a row of all belongs to: the last whose `first` is not behind it.
template <typename Source>
const Source& source_of_row(const std::vector<Source>& sources, std::int64_t row) {
  const auto after = std::upper_bound(sources.begin(), sources.end(), row,
                                      [](std::int64_t value, const Source& source) { return value < source.first; });
  return *(after - 1);
}

/// A hash of numbers in their order.
class NumberDigest {
 public:
  void mix(std::uint64_t value) {
    value_ = (value_ ^ value) * 0x100000001B3u;
    value_ ^= value_ >> 29;
  }
  std::uint64_t value() const { return value_; }

 private:
  std::uint64_t value_ = 0;
};

}  // namespace powerhouse::training
