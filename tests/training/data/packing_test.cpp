// Bins against TRL's pack_dataset, and what a permutation must be.
#include "training/data/packing.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <set>

#include "data_fixtures.h"
#include "training/data/permutation.h"

namespace powerhouse::training {
namespace {

// As the data loader does: windows of 1000 rows.
std::vector<Bin> pack(const std::vector<std::int64_t>& lengths, std::int64_t length, const std::string& strategy) {
  std::vector<Bin> bins;
  for (std::size_t first = 0; first < lengths.size(); first += 1000) {
    std::vector<std::int64_t> window(
        lengths.begin() + static_cast<std::ptrdiff_t>(first),
        lengths.begin() + static_cast<std::ptrdiff_t>(std::min(first + 1000, lengths.size())));
    if (strategy == "bfd") {
      for (std::int64_t& size : window) size = std::min(size, length);
    }
    std::vector<Bin> packed =
        strategy == "wrapped" ? pack_wrapped(window, length) : pack_best_fit(cut_rows(window, length), length);
    for (Bin& bin : packed) {
      for (Fragment& fragment : bin) fragment.row += static_cast<std::int64_t>(first);
      bins.push_back(std::move(bin));
    }
  }
  return bins;
}

TEST(Packing, BinsAreThoseOfTrl) {
  const auto& cases = testing::oracle().at("packing").as_array();
  ASSERT_GT(cases.size(), 50u);
  for (const Json& test : cases) {
    const std::string strategy = test.at("strategy").as_string();
    const std::int64_t length = test.at("length").as_integer();
    const std::vector<Bin> bins = pack(testing::integers(test.at("lengths")), length, strategy);
    const auto& expected = test.at("bins").as_array();
    ASSERT_EQ(bins.size(), expected.size()) << strategy << ' ' << length;
    for (std::size_t i = 0; i < bins.size(); ++i) {
      const auto& fragments = expected[i].as_array();
      ASSERT_EQ(bins[i].size(), fragments.size()) << strategy << ' ' << length << " bin " << i;
      for (std::size_t k = 0; k < fragments.size(); ++k) {
        const auto values = testing::integers(fragments[k]);
        ASSERT_EQ(bins[i][k], (Fragment{values[0], values[1], values[2]})) << strategy << ' ' << length << " bin " << i;
      }
    }
  }
}

TEST(Permutation, HoldsEveryRowOnce) {
  for (const std::int64_t count : {1, 2, 3, 4, 5, 16, 17, 1000, 4097}) {
    const Permutation order(count, 7, 0, 0);
    std::vector<std::int64_t> rows;
    for (std::int64_t i = 0; i < count; ++i) rows.push_back(order[i]);
    std::sort(rows.begin(), rows.end());
    std::vector<std::int64_t> all(static_cast<std::size_t>(count));
    std::iota(all.begin(), all.end(), 0);
    EXPECT_EQ(rows, all) << count;
  }
}

TEST(Permutation, MixesAndDependsOnSeedEpochAndUse) {
  constexpr std::int64_t kCount = 1000;
  const Permutation order(kCount, 7, 0, 0);
  std::int64_t fixed = 0, neighbours = 0;
  double moved = 0;
  for (std::int64_t i = 0; i < kCount; ++i) {
    fixed += order[i] == i;
    neighbours += i > 0 && std::abs(order[i] - order[i - 1]) == 1;
    moved += std::abs(static_cast<double>(order[i] - i)) / kCount;
  }
  EXPECT_LT(fixed, 10);       // 1 expected
  EXPECT_LT(neighbours, 15);  // 2 expected
  EXPECT_NEAR(moved / kCount, 1.0 / 3.0, 0.05);
  std::set<std::vector<std::int64_t>> orders;
  for (const auto& [seed, use, epoch] : {std::tuple{7u, 0u, 0u}, {8u, 0u, 0u}, {7u, 1u, 0u}, {7u, 0u, 1u}}) {
    const Permutation other(kCount, seed, use, epoch);
    std::vector<std::int64_t> rows;
    for (std::int64_t i = 0; i < kCount; ++i) rows.push_back(other[i]);
    orders.insert(rows);
  }
  EXPECT_EQ(orders.size(), 4u);
}

}  // namespace
}  // namespace powerhouse::training
