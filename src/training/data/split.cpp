#include "training/data/split.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

#include "support/philox.h"
#include "support/sha256.h"

namespace powerhouse::training {
namespace {

constexpr std::uint32_t kSplitUse = 3;
using Order = std::vector<std::pair<std::uint64_t, std::uint32_t>>;

}  // namespace

std::uint64_t hash_of(std::string_view content) {
  const std::string digest = sha256(content);
  std::uint64_t value = 0;
  std::from_chars(digest.data(), digest.data() + 16, value, 16);
  return value;
}

std::vector<bool> held_back(const std::vector<std::uint64_t>& groups, double size, std::uint64_t seed,
                            const std::function<bool(std::size_t row)>& usable) {
  std::vector<bool> held(groups.size(), false);
  const std::array<std::uint32_t, 2> key{static_cast<std::uint32_t>(seed), static_cast<std::uint32_t>(seed >> 32)};
  // Keyed by the seed, and the same for equal groups: the order in which rows would be held back.
  Order order;
  for (std::size_t row = 0; row < groups.size(); ++row) {
    const auto words = philox({static_cast<std::uint32_t>(groups[row]), static_cast<std::uint32_t>(groups[row] >> 32),
                               kSplitUse, static_cast<std::uint32_t>(RandomStream::data)},
                              key);
    order.emplace_back(std::uint64_t{words[0]} << 32 | words[1], static_cast<std::uint32_t>(row));
  }
  std::sort(order.begin(), order.end());
  std::int64_t count = 0;
  for (std::size_t i = 0; i < order.size(); ++i) {
    const bool with_last = i > 0 && order[i].first == order[i - 1].first && held[order[i - 1].second];
    // A share holds back at least one usable row: who asks for validation gets some, however few rows there are.
    const bool wanted = size < 1 ? static_cast<double>(order[i].first) * 0x1.0p-64 < size || count == 0
                                 : count < static_cast<std::int64_t>(size);
    if (!wanted && !with_last) break;
    held[order[i].second] = true;
    if (usable(order[i].second)) ++count;
  }
  return held;
}

std::vector<std::size_t> repeated_rows(const std::vector<std::uint64_t>& contents) {
  Order sorted;
  sorted.reserve(contents.size());
  for (std::size_t i = 0; i < contents.size(); ++i) sorted.emplace_back(contents[i], static_cast<std::uint32_t>(i));
  std::sort(sorted.begin(), sorted.end());
  std::vector<std::size_t> repeated;
  for (std::size_t i = 1; i < sorted.size(); ++i) {
    if (sorted[i].first == sorted[i - 1].first) repeated.push_back(sorted[i].second);
  }
  return repeated;
}

}  // namespace powerhouse::training
