#include "generation/typical.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "generation/row_statistics.h"

namespace powerhouse {

void apply_typical_p(std::span<float> logits, float p, processors::Ties ties, std::size_t min_tokens_to_keep) {
  using processors::Ties;
  if (p >= 1.0f || logits.empty() || best_logit(logits) == kForbidden) return;
  const RowStatistics row = row_statistics(logits);
  // |-log p - entropy| is a logit's distance from this one.
  const auto typical = static_cast<float>(row.log_sum - row.entropy);
  std::vector<float> closeness(logits.size());
  for (std::size_t i = 0; i < logits.size(); ++i) closeness[i] = -std::abs(logits[i] - typical);
  for (std::size_t count = 64;; count *= 8) {
    std::vector<Candidate> front = best_candidates(closeness, std::min(count, logits.size()));
    std::sort(front.begin(), front.end(), ranks_first);
    std::size_t kept = 0;
    for (double mass = 0; kept < front.size();) {
      mass += std::exp(double{logits[static_cast<std::size_t>(front[kept++].id)]} - row.log_sum);
      if (kept >= min_tokens_to_keep && (ties == Ties::keep ? mass >= p : mass > p)) break;
      if (kept == front.size() && count < logits.size()) kept = front.size() + 1;
    }
    if (kept > front.size()) continue;
    const Candidate last = front[kept - 1];
    const auto keeps = [&](std::size_t i) {
      return closeness[i] > last.logit ||
             (closeness[i] == last.logit && (ties == Ties::keep || static_cast<std::int32_t>(i) <= last.id));
    };
    for (std::size_t i = 0; i < logits.size(); ++i) logits[i] = keeps(i) ? logits[i] : kForbidden;
    return;
  }
}

namespace processors {

void TypicalP::operator()(std::span<float> logits, const LogitsContext& /*context*/) const {
  apply_typical_p(logits, p, ties, 1);
}

}  // namespace processors
}  // namespace powerhouse
