// Normal numbers: their moments and tails, and that neither threads nor the length asked for change one of them.
#include "support/normal.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "support/thread_team.h"

namespace powerhouse {
namespace {

std::vector<float> numbers(std::int64_t count, std::uint32_t lane = 0) {
  std::vector<float> out(static_cast<std::size_t>(count));
  fill_normal(out.data(), count, 2, Random(7, RandomStream::initialization, lane));
  return out;
}

TEST(Normal, HasTheMomentsAndTails) {
  constexpr std::int64_t kCount = 400'000;
  double sum = 0, squares = 0, fourths = 0, pairs = 0, beyond = 0, before = 0;
  for (const float number : numbers(kCount)) {
    const double x = number / 2;
    sum += x;
    squares += x * x;
    fourths += x * x * x * x;
    pairs += x * before;
    beyond += std::abs(x) > 3 ? 1 : 0;
    before = x;
  }
  EXPECT_NEAR(sum / kCount, 0, 0.006);
  EXPECT_NEAR(squares / kCount, 1, 0.01);
  EXPECT_NEAR(fourths / kCount, 3, 0.08);
  EXPECT_NEAR(pairs / kCount, 0, 0.006);  // cosine and sine of one angle do not follow each other
  EXPECT_NEAR(beyond / kCount, 0.0027, 0.0004);
}

TEST(Normal, DependsOnTheIndexAlone) {
  const std::vector<float> whole = numbers(100'003);
  EXPECT_EQ(numbers(5), std::vector<float>(whole.begin(), whole.begin() + 5));
  EXPECT_NE(numbers(5, 1), numbers(5));
  EXPECT_TRUE(numbers(0).empty());
  const int threads = team_threads();
  set_team_threads(1);
  const std::vector<float> alone = numbers(100'003);
  set_team_threads(3);
  const std::vector<float> shared = numbers(100'003);
  set_team_threads(threads);
  EXPECT_EQ(alone, whole);
  EXPECT_EQ(shared, whole);
}

}  // namespace
}  // namespace powerhouse
