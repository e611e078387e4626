// No n tokens twice (Paulus et al. 2017; transformers' no_repeat_ngram_size).
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <span>

namespace powerhouse {

/// Forbids each token with which the last n tokens would be some that stand in `ids` already. 0 forbids none.
inline void forbid_repeated_ngrams(std::span<float> logits, std::span<const std::int64_t> ids, std::int64_t n) {
  if (n <= 0 || n > std::ssize(ids)) return;
  const auto before = static_cast<std::size_t>(n - 1);
  const auto last = ids.last(before);
  for (std::size_t i = 0; i + before < ids.size(); ++i) {
    if (!std::equal(last.begin(), last.end(), ids.begin() + static_cast<std::ptrdiff_t>(i))) continue;
    const auto id = static_cast<std::size_t>(ids[i + before]);
    if (id < logits.size()) logits[id] = -std::numeric_limits<float>::infinity();
  }
}

}  // namespace powerhouse
