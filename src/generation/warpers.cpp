#include "generation/warpers.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "generation/row_statistics.h"
#include "powerhouse/logits_processors.h"

namespace powerhouse {
namespace {

// By falling logit; equal logits by falling id, so that dropping from the back takes the lower id first, as a stable
// ascending sort does.
bool drops_after(const Candidate& a, const Candidate& b) {
  return a.logit != b.logit ? a.logit > b.logit : a.id > b.id;
}

}  // namespace

void keep_from(std::span<float> logits, float bound) {
  for (float& logit : logits) logit = logit < bound ? kForbidden : logit;
}

void apply_temperature(std::span<float> logits, float temperature) {
  if (temperature == 1.0f || logits.empty()) return;
  // Near zero the quotient leaves float32; the distances to the best, all that a softmax sees, do not.
  const float best = best_logit(logits);
  const bool overflows = std::isfinite(best) && !std::isfinite(best / temperature);
  const float shift = overflows ? best : 0.0f;
  for (float& logit : logits) logit = (logit - shift) / temperature;
}

void apply_top_k(std::span<float> logits, std::int64_t k) {
  if (k <= 0 || k >= static_cast<std::int64_t>(logits.size())) return;
  std::vector<Candidate> candidates = best_candidates(logits, static_cast<std::size_t>(k));
  if (candidates.empty()) return;
  k = std::min(k, std::ssize(candidates));
  const auto kth = candidates.begin() + (k - 1);
  std::nth_element(candidates.begin(), kth, candidates.end(), drops_after);
  keep_from(logits, kth->logit);
}

void apply_top_p(std::span<float> logits, float p) {
  if (p >= 1.0f || logits.empty()) return;
  const float best = best_logit(logits);
  if (best == kForbidden) return;
  const double total = std::exp(row_statistics(logits).log_sum - best);

  // transformers drops from the least probable up while what it dropped sums to at most 1 - p: a token stays as long as
  // those before it hold less than p. They are few, so only the front of the row is put in order, growing as needed.
  for (std::size_t count = 64;; count *= 8) {
    std::vector<Candidate> front = best_candidates(logits, std::min(count, logits.size()));
    std::sort(front.begin(), front.end(), drops_after);
    double above = 0;
    std::size_t kept = 0;
    while (kept < front.size() && above < double{p} * total) {
      above += std::exp(double{front[kept++].logit} - best);
    }
    if (kept == front.size() && count < logits.size()) continue;
    const Candidate last = front[kept - 1];
    keep_from(logits, last.logit);
    for (std::size_t i = kept; i < front.size() && front[i].logit == last.logit; ++i) {
      logits[static_cast<std::size_t>(front[i].id)] = kForbidden;
    }
    return;
  }
}

void apply_min_p(std::span<float> logits, float min_p) {
  if (min_p <= 0.0f || logits.empty()) return;
  keep_from(logits, best_logit(logits) + std::log(min_p));  // of logits: probabilities share one denominator
}

void apply_warpers(std::span<float> logits, const GenerationOptions& options) {
  apply_temperature(logits, options.temperature);
  apply_top_k(logits, options.top_k);
  apply_top_p(logits, options.top_p);
  apply_min_p(logits, options.min_p);
}

namespace processors {

void TopP::operator()(std::span<float> logits, const LogitsContext& /*context*/) const { apply_top_p(logits, p); }

void MinP::operator()(std::span<float> logits, const LogitsContext& /*context*/) const { apply_min_p(logits, p); }

}  // namespace processors
}  // namespace powerhouse
