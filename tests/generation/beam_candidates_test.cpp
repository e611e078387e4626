// The best candidates against sorting them all.
#include "generation/beam_candidates.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "support/philox.h"

namespace powerhouse {
namespace {

struct Rows {
  std::vector<std::vector<float>> log_probs;
  std::vector<float> sums;
};

Rows random_rows(std::uint64_t seed, std::size_t beams, std::size_t vocabulary, double levels) {
  const Random random(seed, RandomStream::data);
  Rows rows;
  for (std::size_t b = 0; b < beams; ++b) {
    rows.sums.push_back(-static_cast<float>(random.uniform(b)));
    rows.log_probs.emplace_back();
    for (std::size_t i = 0; i < vocabulary; ++i) {
      // Of few levels, so that there are ties; some forbidden.
      const double level = std::floor(random.uniform(1000 + b * vocabulary + i) * levels);
      rows.log_probs.back().push_back(level == 0 ? -std::numeric_limits<float>::infinity()
                                                 : static_cast<float>(level / levels * 10 - 10));
    }
  }
  return rows;
}

std::vector<BeamCandidate> sorted(const Rows& rows, std::size_t count) {
  std::vector<BeamCandidate> all;
  for (std::size_t b = 0; b < rows.sums.size(); ++b) {
    for (std::size_t i = 0; i < rows.log_probs[b].size(); ++i) {
      const float score = rows.log_probs[b][i] + rows.sums[b];
      if (score > -std::numeric_limits<float>::infinity()) all.push_back({score, b, static_cast<std::int64_t>(i)});
    }
  }
  std::stable_sort(all.begin(), all.end(), [](const auto& a, const auto& b) { return a.score > b.score; });
  if (all.size() > count) all.resize(count);
  return all;
}

TEST(BestCandidates, AreThoseOfASort) {
  std::uint64_t seed = 0;
  for (const std::size_t vocabulary : {1, 63, 64, 65, 700}) {
    for (const std::size_t count : {0, 1, 5, 8, 200}) {
      for (const double levels : {4.0, 1e7}) {
        const Rows rows = random_rows(++seed, 3, vocabulary, levels);
        BestCandidates best(count);
        for (std::size_t b = 0; b < 3; ++b) best.add(rows.log_probs[b], rows.sums[b], b);
        const auto found = best.take();
        const auto expected = sorted(rows, count);
        ASSERT_EQ(found.size(), expected.size()) << vocabulary << ' ' << count;
        for (std::size_t i = 0; i < found.size(); ++i) {
          EXPECT_EQ(found[i].score, expected[i].score);
          EXPECT_EQ(found[i].beam, expected[i].beam);
          EXPECT_EQ(found[i].token, expected[i].token);
        }
      }
    }
  }
}

}  // namespace
}  // namespace powerhouse
