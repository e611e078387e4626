// Allocation against all possible choices, and sampled errors against whole ones.
#include "quantization/budget.h"

#include <gtest/gtest.h>

#include <limits>

#include "expect_error.h"
#include "quantization/rows.h"

namespace powerhouse {
namespace {

using testing::expect_error;
using F = BlockFormat;

struct Total {
  std::uint64_t bytes = 0;
  double cost = 0;
};

Total total(const std::vector<BudgetItem>& items, const std::vector<std::size_t>& chosen) {
  Total sum;
  for (std::size_t i = 0; i < items.size(); ++i) {
    sum.bytes += items[i].choices[chosen[i]].bytes;
    sum.cost += items[i].choices[chosen[i]].cost;
  }
  return sum;
}

double best(const std::vector<BudgetItem>& items, std::size_t at, std::uint64_t bytes) {
  if (at == items.size()) return 0;
  double least = std::numeric_limits<double>::infinity();
  for (const BudgetChoice& choice : items[at].choices) {
    if (choice.bytes <= bytes) least = std::min(least, choice.cost + best(items, at + 1, bytes - choice.bytes));
  }
  return least;
}

std::uint64_t next(std::uint64_t& state) { return (state = state * 6364136223846793005u + 1442695040888963407u) >> 33; }

TEST(Allocate, IsWithinOneStepOfTheBest) {
  std::uint64_t state = 5;
  int exact = 0;
  for (int trial = 0; trial < 200; ++trial) {
    std::vector<BudgetItem> items(6);
    double largest_step = 0;
    std::uint64_t least = 0;
    std::uint64_t most = 0;
    for (BudgetItem& item : items) {
      for (std::uint64_t k = 1; k <= 4; ++k) {
        item.choices.push_back({.bytes = 10 * k + next(state) % 8,
                                .cost = static_cast<double>(next(state) % 100) / static_cast<double>(k * k)});
      }
      std::uint64_t low = std::numeric_limits<std::uint64_t>::max();
      std::uint64_t high = 0;
      for (const BudgetChoice& choice : item.choices) {
        low = std::min(low, choice.bytes);
        high = std::max(high, choice.bytes);
        largest_step = std::max(largest_step, choice.cost);
      }
      least += low;
      most += high;
    }
    const std::uint64_t budget = least + next(state) % (most - least);
    const Total found = total(items, allocate(items, budget));
    const double optimum = best(items, 0, budget);
    EXPECT_LE(found.bytes, budget);
    EXPECT_GE(found.cost, optimum - 1e-9);
    EXPECT_LE(found.cost, optimum + largest_step);
    if (found.cost < optimum + 1e-9) ++exact;
  }
  EXPECT_GT(exact, 60);
}

TEST(Allocate, TakesTheBestOfAllWhereAllFitsAndRefusesWhatNothingFits) {
  const std::vector<BudgetItem> items = {
      {.name = "a", .choices = {{F::q8_0, 80, 1}, {F::q4_0, 40, 5}, {F::q5_0, 90, 2}}},
      {.name = "b", .choices = {{F::f32, 10, 0}}}};
  EXPECT_EQ(allocate(items, 1000), (std::vector<std::size_t>{0, 0}));
  EXPECT_EQ(allocate(items, 89), (std::vector<std::size_t>{1, 0}));
  expect_error(ErrorKind::range, "at least 50 bytes", [&] { allocate(items, 49); });
}

TEST(SampledError, OfAllRowsIsTheWholeError) {
  constexpr std::int64_t kRows = 24;
  constexpr std::int64_t kColumns = 256;
  std::vector<float> values(static_cast<std::size_t>(2 * kRows * kColumns));
  std::uint64_t state = 9;
  for (float& value : values) value = static_cast<float>(static_cast<double>(next(state) % 4096) / 4096.0 - 0.5);
  std::vector<float> importance(static_cast<std::size_t>(2 * kColumns));
  for (float& value : importance) value = static_cast<float>(next(state) % 100);
  const SourceTensor tensor{.name = "t",
                            .shape = {2, kRows, kColumns},
                            .rows =
                                [&](std::int64_t begin, std::int64_t, std::vector<std::byte>&) {
                                  return SourceRows{values.data() + begin * kColumns, Element::f32};
                                },
                            .release = [] {}};
  double whole = 0;
  for (std::int64_t matrix = 0; matrix < 2; ++matrix) {
    std::vector<std::byte> out(quantized_bytes(F::q4_k, kRows, kColumns));
    whole += quantize_rows(F::q4_k,
                           {.tensor = "t",
                            .data = values.data() + matrix * kRows * kColumns,
                            .rows = kRows,
                            .columns = kColumns,
                            .importance = std::span(importance)
                                              .subspan(static_cast<std::size_t>(matrix * kColumns),
                                                       static_cast<std::size_t>(kColumns))},
                           out)
                 .weighted_error;
  }
  EXPECT_DOUBLE_EQ(sampled_error(tensor, F::q4_k, importance, 2 * kRows), whole);
  EXPECT_NEAR(sampled_error(tensor, F::q4_k, importance, kRows) / whole, 1.0, 0.15);
  EXPECT_GT(whole, 0);
}

}  // namespace
}  // namespace powerhouse
