// Tokens are those of the plain processors and draw, for rows and options of all kinds.
#include "generation/row_sampler.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "expect_error.h"
#include "generation/sampler.h"
#include "generation/warpers.h"

namespace powerhouse {
namespace {

// What the rows' logits look like.
enum class RowKind { smooth, peaked, ties, forbidden, equal, large, mostly_forbidden };

std::vector<float> row_of_kind(RowKind kind, std::size_t size, std::uint64_t seed) {
  const Random random(seed, RandomStream::data);
  std::vector<float> logits(size);
  for (std::size_t i = 0; i < size; ++i) {
    const double u = random.uniform(2 * i) + 0x1.0p-54;
    const double normal = std::sqrt(-2 * std::log(u)) * std::cos(6.283185307179586 * random.uniform(2 * i + 1));
    auto value = static_cast<float>(3 * normal);
    if (kind == RowKind::peaked && i % 4999 == 17) value += 12;
    if (kind == RowKind::ties) value = std::round(value);
    if (kind == RowKind::forbidden && i % 3 == 0) value = -std::numeric_limits<float>::infinity();
    if (kind == RowKind::equal) value = 2.5f;
    if (kind == RowKind::large) value = value * 400 + 3000;
    if (kind == RowKind::mostly_forbidden && i % 1000 != 7) value = -std::numeric_limits<float>::infinity();
    logits[i] = value;
  }
  return logits;
}

class RowSampler : public ::testing::TestWithParam<RowKind> {};

TEST_P(RowSampler, ChoosesWhatThePlainChainChooses) {
  const GenerationOptions all[] = {
      {.temperature = 1.0f},
      {.temperature = 0.7f},
      {.temperature = 0.7f, .top_k = 50},
      {.temperature = 0.7f, .top_k = 1},
      {.temperature = 1.3f, .top_k = 700},
      {.temperature = 0.7f, .top_p = 0.9f},
      {.temperature = 1.5f, .top_p = 0.99f},
      {.temperature = 0.7f, .min_p = 0.05f},
      {.temperature = 3.0f, .min_p = 0.001f},
      {.temperature = 0.7f, .top_p = 0.9f, .min_p = 0.05f},
      {.temperature = 0.7f, .top_k = 50, .top_p = 0.9f, .min_p = 0.05f},
      {.temperature = 1e-4f, .top_k = 40},
      {.temperature = 1e-40f},
      {.temperature = 2e3f, .top_p = 0.5f},
  };
  const Random random(7, RandomStream::sampling);
  for (const std::size_t size : {5000, 32'000, 49'152, 152'064}) {
    const std::vector<float> logits = row_of_kind(GetParam(), size, size);
    for (const GenerationOptions& options : all) {
      std::vector<float> plain = logits;
      apply_warpers(plain, options);
      for (std::uint64_t counter = 0; counter < 8; ++counter) {
        std::vector<float> row = logits;
        ASSERT_EQ(sample_row(row, options, random, counter), sample_token(plain, random, counter))
            << size << " tokens, temperature " << options.temperature << ", top_k " << options.top_k << ", top_p "
            << options.top_p << ", min_p " << options.min_p << ", counter " << counter;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Rows, RowSampler,
                         ::testing::Values(RowKind::smooth, RowKind::peaked, RowKind::ties, RowKind::forbidden,
                                           RowKind::equal, RowKind::large, RowKind::mostly_forbidden));

TEST(RowSamplerErrors, EveryTokenForbidden) {
  std::vector<float> none(50'000, -std::numeric_limits<float>::infinity());
  const Random random(1, RandomStream::sampling);
  for (const std::int64_t top_k : {0, 50}) {
    testing::expect_error(ErrorKind::numeric, "forbidden",
                          [&] { sample_row(none, {.temperature = 1.0f, .top_k = top_k}, random, 0); });
  }
}

}  // namespace
}  // namespace powerhouse
