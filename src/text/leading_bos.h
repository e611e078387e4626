// What a tokenizer puts in front of every text.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "powerhouse/tokenizer.h"

namespace powerhouse {

/// BOS, where the tokenizer begins texts with it: pieces that are cut out of a text begin so too.
inline std::optional<std::int64_t> leading_bos(const Tokenizer& tokenizer) {
  const std::vector<std::int64_t> empty = tokenizer.encode("");
  if (empty.empty() || tokenizer.bos_token_id() != empty.front()) return std::nullopt;
  return empty.front();
}

}  // namespace powerhouse
