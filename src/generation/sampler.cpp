#include "generation/sampler.h"

#include <cmath>
#include <limits>
#include <vector>

#include "ops/vocabulary.h"
#include "powerhouse/error.h"

namespace powerhouse {

std::int64_t greedy_token(std::span<const float> logits) {
  const std::int64_t best = logits.empty() ? -1 : ops::argmax(logits);
  if (best < 0 || logits[static_cast<std::size_t>(best)] == -std::numeric_limits<float>::infinity()) {
    throw Error(ErrorKind::numeric, "every token is forbidden", {.field = "logits"});
  }
  return best;
}

std::int64_t sample_token(std::span<const float> logits, const Random& random, std::uint64_t counter) {
  const float best = logits[static_cast<std::size_t>(greedy_token(logits))];
  struct Share {
    double weight;
    std::size_t id;
  };
  std::vector<Share> shares;
  double total = 0;
  for (std::size_t i = 0; i < logits.size(); ++i) {
    const double weight = std::exp(double{logits[i]} - best);
    if (weight == 0) continue;
    total += weight;
    shares.push_back({weight, i});
  }
  // The token in whose share of [0, total) the number falls; float64 keeps the smallest shares.
  const double target = random.uniform(counter) * total;
  double sum = 0;
  for (const Share& share : shares) {
    sum += share.weight;
    if (sum > target) return static_cast<std::int64_t>(share.id);
  }
  return static_cast<std::int64_t>(shares.back().id);
}

}  // namespace powerhouse
