// Packed documents of which some continue others: several continuations of one prompt stand behind it once.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "powerhouse/error.h"

namespace powerhouse::ops {

struct RowRange {
  std::int64_t first = 0;
  std::int64_t count = 0;
};

/// The rows that stand before those of document i: of document prefixes[i]; none where that is -1, or `prefixes` empty.
inline RowRange prefix_rows(std::span<const std::int64_t> cu_seqlens, std::span<const std::int64_t> prefixes,
                            std::size_t i) {
  if (prefixes.empty() || prefixes[i] < 0) return {};
  const auto prefix = static_cast<std::size_t>(prefixes[i]);
  return {cu_seqlens[prefix], cu_seqlens[prefix + 1] - cu_seqlens[prefix]};
}

/// Error{usage} unless there are none, or one for each document: -1, or an earlier document that has none itself.
inline void check_prefixes(std::span<const std::int64_t> cu_seqlens, std::span<const std::int64_t> prefixes) {
  const std::size_t documents = cu_seqlens.size() - 1;
  if (!prefixes.empty() && prefixes.size() != documents) {
    throw Error(ErrorKind::usage, "a prefix for each document, or none at all",
                {.field = "prefixes", .expected = std::to_string(documents), .found = std::to_string(prefixes.size())});
  }
  for (std::size_t i = 0; i < prefixes.size(); ++i) {
    const std::int64_t prefix = prefixes[i];
    if (prefix == -1) continue;
    if (prefix >= 0 && prefix < static_cast<std::int64_t>(i) && prefixes[static_cast<std::size_t>(prefix)] < 0)
      continue;
    throw Error(ErrorKind::usage, "a document can't continue that one",
                {.field = "prefixes",
                 .expected = "-1, or an earlier document that continues none",
                 .found = std::to_string(prefix)});
  }
}

}  // namespace powerhouse::ops
