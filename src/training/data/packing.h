// Packing rows into sequences of one length, bin for bin as TRL's pack_dataset does. Works on lengths alone.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "powerhouse/data_loader.h"

namespace powerhouse::training {

/// Tokens [begin, end) of a row.
struct Fragment {
  std::int64_t row = 0, begin = 0, end = 0;
  std::int64_t size() const { return end - begin; }
  bool operator==(const Fragment&) const = default;
};

using Bin = std::vector<Fragment>;

/// Pieces of at most `length` tokens; rows without tokens give none.
std::vector<Fragment> cut_rows(std::span<const std::int64_t> lengths, std::int64_t length);

/// Best fit decreasing (Ding et al., "Fewer truncations improve language modeling", 2404.10830): longest first, each
/// into the bin that it leaves the least space in, the oldest of several. No fragment is longer than `length`.
std::vector<Bin> pack_best_fit(std::vector<Fragment> fragments, std::int64_t length);

/// All rows one after another, cut every `length` tokens.
std::vector<Bin> pack_wrapped(std::span<const std::int64_t> lengths, std::int64_t length);

}  // namespace powerhouse::training
