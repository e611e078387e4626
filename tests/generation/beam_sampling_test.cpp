// Beam sampling draws as it says: the candidates of a step without replacement, by the softmax of sums.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <map>
#include <utility>

#include "generation/beam_group.h"
#include "generation/beam_order.h"
#include "model/fixture.h"

namespace powerhouse {
namespace {

TEST(BeamSampling, DrawsPairsWithoutReplacement) {
  const std::vector<float> log_probs = {std::log(0.5f), std::log(0.3f), std::log(0.2f),
                                        -std::numeric_limits<float>::infinity()};
  BeamSearchOptions options{.num_beams = 1, .generation = {.temperature = 1.0f}};
  std::map<std::pair<std::int64_t, std::int64_t>, int> pairs;
  const SamplingChain chain(options.generation, {.vocab_size = 4});
  constexpr int kDraws = 20000;
  for (std::uint64_t seed = 0; seed < kDraws; ++seed) {
    const BeamRules rules{.options = options,
                          .ends = {},
                          .phrases = PhraseConstraints({}),
                          .chain = chain,
                          .prompt_length = 1,
                          .limit = 5,
                          .random = Random(seed, RandomStream::sampling)};
    const std::vector<Beam> beams = {{.history = {0}, .sum = -1.0f, .chain = chain}};
    const auto drawn = order_by_chance(rules, beams, log_probs);
    ASSERT_EQ(drawn.size(), 2u);
    EXPECT_FLOAT_EQ(drawn[0].score, log_probs[static_cast<std::size_t>(drawn[0].token)] - 1.0f);
    ++pairs[{drawn[0].token, drawn[1].token}];
  }
  const double p[] = {0.5, 0.3, 0.2};
  double chi = 0;
  for (int a = 0; a < 3; ++a) {
    for (int b = 0; b < 3; ++b) {
      if (a == b) continue;
      const double expected = p[a] * p[b] / (1 - p[a]) * kDraws;
      const double seen = pairs[{a, b}];
      chi += (seen - expected) * (seen - expected) / expected;
    }
  }
  EXPECT_EQ(pairs.size(), 6u);
  EXPECT_LT(chi, 20.5);  // 5 degrees of freedom: 0.001 beyond
}

TEST(BeamSampling, TheSeedDecides) {
  const CausalLM model = testing::load("tiny_gqa");
  const auto run = [&](std::uint64_t seed, std::int64_t top_k) {
    Session session(model);
    const std::vector<std::int64_t> prompt = {5, 17, 33, 8};
    return beam_search(
               session, session.create(), prompt,
               {.num_beams = 3,
                .generation =
                    {.max_new_tokens = 12, .temperature = 1.5f, .top_k = top_k, .seed = seed, .ignore_eos = true}})
        .front()
        .ids;
  };
  EXPECT_EQ(run(1, 0), run(1, 0));
  EXPECT_NE(run(1, 0), run(2, 0));
  EXPECT_NE(run(1, 2), run(1, 0));
}

}  // namespace
}  // namespace powerhouse
