// Draws follow softmax, and depend on seed and counter alone.
#include "generation/sampler.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "expect_error.h"

namespace powerhouse {
namespace {

constexpr float kForbidden = -std::numeric_limits<float>::infinity();

TEST(Sampler, FollowsTheDistribution) {
  const std::vector<float> logits = {1.0f, -2.0f, kForbidden, 3.0f, 2.5f, 0.0f, 3.0f, -4.0f};
  double total = 0;
  for (const float logit : logits) total += std::exp(double{logit});
  const Random random(42, RandomStream::sampling);
  constexpr int kDraws = 100'000;
  std::vector<int> counts(logits.size(), 0);
  for (int i = 0; i < kDraws; ++i) {
    ++counts[static_cast<std::size_t>(sample_token(logits, random, static_cast<std::uint64_t>(i)))];
  }
  EXPECT_EQ(counts[2], 0);
  double chi_squared = 0;
  for (std::size_t i = 0; i < logits.size(); ++i) {
    if (i == 2) continue;
    const double expected = kDraws * std::exp(double{logits[i]}) / total;
    chi_squared += (counts[i] - expected) * (counts[i] - expected) / expected;
  }
  EXPECT_LT(chi_squared, 22.46);  // 6 degrees of freedom, p = 0.001
}

TEST(Sampler, DependsOnSeedAndCounterAlone) {
  const std::vector<float> logits(1000, 0.0f);
  const auto draw = [&](std::uint64_t seed, std::uint64_t counter) {
    return sample_token(logits, Random(seed, RandomStream::sampling), counter);
  };
  EXPECT_EQ(draw(1, 5), draw(1, 5));
  EXPECT_NE(draw(1, 5), draw(1, 6));
  EXPECT_NE(draw(1, 5), draw(2, 5));
}

TEST(Sampler, GreedyTakesTheFirstOfTheBest) {
  EXPECT_EQ(greedy_token(std::vector<float>{1, 3, 2, 3}), 1);
  const std::vector<float> none(4, kForbidden);
  testing::expect_error(ErrorKind::numeric, "forbidden", [&] { greedy_token(none); });
  testing::expect_error(ErrorKind::numeric, "forbidden",
                        [&] { sample_token(none, Random(1, RandomStream::sampling), 0); });
}

}  // namespace
}  // namespace powerhouse
