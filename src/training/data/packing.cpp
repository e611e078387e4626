// Packing: bins wait in queues by the space they have left; a map finds the smallest space that is enough.
#include "training/data/packing.h"

#include <algorithm>
#include <deque>
#include <map>

namespace powerhouse::training {

std::vector<Fragment> cut_rows(std::span<const std::int64_t> lengths, std::int64_t length) {
  std::vector<Fragment> fragments;
  for (std::size_t row = 0; row < lengths.size(); ++row) {
    for (std::int64_t begin = 0; begin < lengths[row]; begin += length) {
      fragments.push_back({static_cast<std::int64_t>(row), begin, std::min(begin + length, lengths[row])});
    }
  }
  return fragments;
}

std::vector<Bin> pack_best_fit(std::vector<Fragment> fragments, std::int64_t length) {
  // Among equals the order of the rows: TRL sorts (length, index) by length alone, stably.
  std::stable_sort(fragments.begin(), fragments.end(),
                   [](const Fragment& a, const Fragment& b) { return a.size() > b.size(); });
  std::vector<Bin> bins;
  std::map<std::int64_t, std::deque<std::size_t>> by_space;
  for (const Fragment& fragment : fragments) {
    const auto found = by_space.lower_bound(fragment.size());
    std::size_t bin = bins.size();
    std::int64_t space = length;
    if (found == by_space.end()) {
      bins.emplace_back();
    } else {
      space = found->first;
      bin = found->second.front();
      found->second.pop_front();
      if (found->second.empty()) by_space.erase(found);
    }
    bins[bin].push_back(fragment);
    if (space > fragment.size()) by_space[space - fragment.size()].push_back(bin);
  }
  return bins;
}

std::vector<Bin> pack_wrapped(std::span<const std::int64_t> lengths, std::int64_t length) {
  std::vector<Bin> bins;
  std::int64_t space = 0;
  for (std::size_t row = 0; row < lengths.size(); ++row) {
    for (std::int64_t begin = 0; begin < lengths[row];) {
      if (space == 0) {
        bins.emplace_back();
        space = length;
      }
      const std::int64_t end = std::min(begin + space, lengths[row]);
      bins.back().push_back({static_cast<std::int64_t>(row), begin, end});
      space -= end - begin;
      begin = end;
    }
  }
  return bins;
}

}  // namespace powerhouse::training
