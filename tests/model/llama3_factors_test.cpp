// Tables of divisors as llama.cpp's conversion computes them, for what published models say and for odd numbers.
#include "model/llama3_factors.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numbers>

namespace powerhouse {
namespace {

struct Numbers {
  double theta;
  std::int64_t head_dim;
  double factor, low, high, original;
};

// The formula of llama.cpp's conversion, in its own order and in float64.
std::vector<float> table(const Numbers& n) {
  std::vector<float> out;
  for (std::int64_t i = 0; i < n.head_dim; i += 2) {
    const double frequency = 1.0 / std::pow(n.theta, static_cast<double>(i) / static_cast<double>(n.head_dim));
    const double wavelength = 2 * std::numbers::pi / frequency;
    double divisor = n.factor;
    if (wavelength < n.original / n.high) {
      divisor = 1;
    } else if (wavelength <= n.original / n.low) {
      const double smooth = (n.original / wavelength - n.low) / (n.high - n.low);
      divisor = 1 / ((1 - smooth) / n.factor + smooth);
    }
    out.push_back(static_cast<float>(divisor));
  }
  return out;
}

TEST(Llama3Factors, AreFoundInTables) {
  const Numbers cases[] = {{500000, 128, 8, 1, 4, 8192},  {500000, 64, 32, 1, 4, 8192},
                           {500000, 128, 16, 1, 4, 8192}, {1000000, 128, 10, 1, 6.5, 4096},
                           {10000, 96, 2.5, 1, 3, 2048},  {500000, 16, 8, 1, 4, 8192}};
  for (const Numbers& n : cases) {
    const Rope rope{.theta = n.theta, .rotary_dim = n.head_dim, .frequency_factors = table(n)};
    const Rope named = with_llama3_named(rope);
    EXPECT_EQ(named.scaling, RopeScaling::llama3) << n.factor;
    EXPECT_TRUE(named.frequency_factors.empty());
    EXPECT_EQ(named.factor, n.factor);
    EXPECT_EQ(named.high_freq_factor, n.high);
    EXPECT_EQ(named.original_max_position_embeddings, static_cast<std::int64_t>(n.original));
  }
}

TEST(Llama3Factors, ThatAreNoneStayTables) {
  Rope rope{.theta = 500000, .rotary_dim = 128, .frequency_factors = table({500000, 128, 8, 1, 4, 8192})};
  rope.frequency_factors[40] *= 1.0001f;
  EXPECT_EQ(with_llama3_named(rope), rope);
  rope.frequency_factors.assign(64, 1.0f);
  EXPECT_EQ(with_llama3_named(rope), rope);
  rope.frequency_factors.clear();
  EXPECT_EQ(with_llama3_named(rope), rope);
}

}  // namespace
}  // namespace powerhouse
