#include "generation/row_statistics.h"

#include <algorithm>
#include <cmath>
#include <functional>

#include "ops/vocabulary.h"

namespace powerhouse {
namespace {

constexpr std::size_t kFloat64RowSize = 1024;  // float64 is as fast up to here

}  // namespace

std::int64_t count_left(std::span<const float> logits) { return static_cast<std::int64_t>(ops::moments(logits).count); }

float best_logit(std::span<const float> logits) { return ops::maximum(logits); }

RowStatistics row_statistics(std::span<const float> logits) {
  const float best = best_logit(logits);
  if (logits.size() <= kFloat64RowSize) {
    double total = 0;
    double distance = 0;
    for (const float logit : logits) {
      const double weight = std::exp(double{logit} - best);
      if (weight == 0) continue;
      total += weight;
      distance += weight * (double{logit} - best);
    }
    const double log_total = std::log(total);
    return {.log_sum = best + log_total, .entropy = log_total - distance / total};
  }
  const cpu::ExpMoments moments = ops::exp_moments(logits, best);
  const double log_total = std::log(moments.sum);
  return {.log_sum = best + log_total, .entropy = log_total - moments.weighted / moments.sum};
}

std::size_t block_count(std::size_t vocabulary, std::size_t wanted) {
  std::size_t blocks = 512;
  while (blocks < 4 * wanted || blocks * blocks < wanted * vocabulary / 4) blocks *= 2;
  return blocks;
}

std::vector<float> block_maxima(std::span<const float> logits, std::size_t blocks) {
  std::vector<float> found(blocks, kForbidden);
  float* const maxima = found.data();
  for (std::size_t first = 0; first < logits.size(); first += blocks) {
    const float* const row = logits.data() + first;
    const std::size_t count = std::min(blocks, logits.size() - first);
    for (std::size_t i = 0; i < count; ++i) maxima[i] = row[i] > maxima[i] ? row[i] : maxima[i];
  }
  return found;
}

std::vector<Candidate> best_candidates(std::span<const float> logits, std::size_t k) {
  std::size_t blocks = 512;
  while (blocks < 4 * k) blocks *= 2;
  // The k-th largest of all, or of the maxima of blocks, which is at most that.
  const bool few = blocks * 8 > logits.size();
  std::vector<float> order = few ? std::vector<float>(logits.begin(), logits.end()) : block_maxima(logits, blocks);
  float bound = kLowest;
  if (k > 0 && k < order.size()) {
    const auto kth = order.begin() + static_cast<std::ptrdiff_t>(k) - 1;
    std::nth_element(order.begin(), kth, order.end(), std::greater<>());
    bound = std::max(bound, *kth);
  }
  std::vector<Candidate> found;
  ops::for_each_at_least(logits, bound, [&](std::size_t place) {
    found.push_back({logits[place], static_cast<std::int32_t>(place)});
  });
  return found;
}

std::vector<Candidate> ranked_candidates(std::span<const float> logits, std::size_t k) {
  k = std::min(k, logits.size());
  if (k == 0) return {};
  std::vector<Candidate> found = best_candidates(logits, k);
  std::sort(found.begin(), found.end(), ranks_first);
  found.resize(std::min(k, found.size()));
  return found;
}

}  // namespace powerhouse
