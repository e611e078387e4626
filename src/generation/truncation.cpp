// What drops tokens by their rank, their probability or their distance from the best.
#include <algorithm>
#include <cmath>

#include "generation/row_statistics.h"
#include "generation/sampling_lanes.h"
#include "generation/warpers.h"
#include "ops/vocabulary.h"
#include "powerhouse/logits_processors.h"

namespace powerhouse::processors {
namespace {

bool nothing_left(std::span<const float> logits) { return logits.empty() || best_logit(logits) == kForbidden; }

// Drops what is less probable than `bound`, but the best.
void keep_probable(std::span<float> logits, double log_sum, double bound) {
  keep_from(logits, std::min(static_cast<float>(log_sum + std::log(bound)), best_logit(logits)));
}

// The standard deviation of what is not forbidden.
double deviation_of(std::span<const float> logits) {
  const cpu::Moments all = ops::moments(logits);
  return std::sqrt(ops::moments(logits, static_cast<float>(all.sum / all.count)).squares / all.count);
}

}  // namespace

void TopK::operator()(std::span<float> logits, const LogitsContext& /*context*/) const {
  apply_top_k(logits, k);
  if (ties == Ties::keep || k <= 0) return;
  // What is left is k tokens, or more with the last one's ties.
  std::int64_t left = count_left(logits);
  if (left <= k) return;
  float least = best_logit(logits);
  for (const float logit : logits) least = logit != kForbidden ? std::min(least, logit) : least;
  for (std::size_t i = logits.size(); left > k; --i) {
    if (logits[i - 1] != least) continue;
    logits[i - 1] = kForbidden;
    --left;
  }
}

void EpsilonCutoff::operator()(std::span<float> logits, const LogitsContext& /*context*/) const {
  if (epsilon <= 0 || nothing_left(logits)) return;
  keep_probable(logits, row_statistics(logits).log_sum, double{epsilon});
}

void EtaCutoff::operator()(std::span<float> logits, const LogitsContext& /*context*/) const {
  if (epsilon <= 0 || nothing_left(logits)) return;
  const RowStatistics row = row_statistics(logits);
  keep_probable(logits, row.log_sum, std::min(double{epsilon}, std::sqrt(double{epsilon}) * std::exp(-row.entropy)));
}

void TopH::operator()(std::span<float> logits, const LogitsContext& /*context*/) const {
  constexpr std::size_t kBest = 100;  // as in transformers
  if (top_h <= 0 || nothing_left(logits)) return;
  const std::vector<Candidate> front = ranked_candidates(logits, kBest);
  std::vector<float> values;
  for (const Candidate& one : front) values.push_back(one.logit);
  const RowStatistics row = row_statistics(values);
  std::size_t kept = 0;
  for (double sum = 0; kept < front.size(); ++kept) {
    const double log_probability = double{front[kept].logit} - row.log_sum;
    sum -= std::exp(log_probability) * log_probability;
    // A probability that float32 has not is none there.
    if (kept > 0 && (sum > row.entropy * top_h || static_cast<float>(std::exp(log_probability)) == 0.0f)) break;
  }
  std::fill(logits.begin(), logits.end(), kForbidden);
  for (std::size_t i = 0; i < kept; ++i) logits[static_cast<std::size_t>(front[i].id)] = front[i].logit;
}

void TopNSigma::operator()(std::span<float> logits, const LogitsContext& /*context*/) const {
  if (n <= 0 || logits.size() <= 1) return;
  const float best = best_logit(logits);
  if (best == kForbidden) return;
  keep_from(logits, static_cast<float>(best - double{n} * deviation_of(logits)));
}

void Xtc::operator()(std::span<float> logits, const LogitsContext& context) const {
  if (probability <= 0 || threshold > 0.5f || logits.size() < 2 || nothing_left(logits)) return;
  const Random random = sampling_random(context.seed, SamplingLane::coin);
  if (random.uniform(static_cast<std::uint64_t>(context.new_tokens())) >= probability) return;
  const double log_sum = row_statistics(logits).log_sum;
  const auto bound = static_cast<float>(log_sum + std::log(double{threshold}) - 1e-3);  // spares most exponentials
  std::vector<Candidate> above;
  ops::for_each_at_least(logits, std::max(bound, kLowest), [&](std::size_t i) {
    if (static_cast<float>(std::exp(double{logits[i]} - log_sum)) < threshold) return;
    above.push_back({logits[i], static_cast<std::int32_t>(i)});
  });
  if (above.size() < 2) return;
  std::nth_element(above.begin(), above.end() - 1, above.end(), ranks_first);
  for (std::size_t i = 0; i + 1 < above.size(); ++i) logits[static_cast<std::size_t>(above[i].id)] = kForbidden;
}

}  // namespace powerhouse::processors
