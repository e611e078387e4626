#include "generation/sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "powerhouse/error.h"

namespace powerhouse {

std::int64_t greedy_token(std::span<const float> logits) {
  const auto best = std::max_element(logits.begin(), logits.end());
  if (best == logits.end() || !(*best > -std::numeric_limits<float>::infinity())) {
    throw Error(ErrorKind::numeric, "every token is forbidden", {.field = "logits"});
  }
  return best - logits.begin();
}

std::int64_t sample_token(std::span<const float> logits, const Random& random, std::uint64_t counter) {
  const float best = logits[static_cast<std::size_t>(greedy_token(logits))];
  double total = 0;
  for (const float logit : logits) total += std::exp(double{logit} - best);
  // The token in whose share of [0, total) the number falls; float64 keeps the smallest shares.
  const double target = random.uniform(counter) * total;
  double sum = 0;
  std::int64_t last = -1;
  for (std::size_t i = 0; i < logits.size(); ++i) {
    const double weight = std::exp(double{logits[i]} - best);
    if (weight == 0) continue;
    sum += weight;
    last = static_cast<std::int64_t>(i);
    if (sum > target) break;
  }
  return last;
}

}  // namespace powerhouse
