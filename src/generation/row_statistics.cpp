#include "generation/row_statistics.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <memory>

#include "ops/vocabulary.h"

namespace powerhouse {
namespace {

constexpr std::size_t kShortRow = 1024;  // float64 is as fast up to here

// p * (logit - best) over a row: the part of the entropy that depends on shape. In lanes, for the compiler to
// vectorize.
double weighted_distance(std::span<const float> logits, const float* probabilities, float best) {
  constexpr std::size_t kLanes = 16;
  constexpr std::size_t kChunk = 64 * kLanes;
  const auto term = [&](std::size_t i) {
    return probabilities[i] > 0 ? probabilities[i] * (logits[i] - best) : 0.0f;  // 0 times infinity is none
  };
  double total = 0;
  for (std::size_t first = 0; first < logits.size(); first += kChunk) {
    const std::size_t end = std::min(logits.size(), first + kChunk);
    float sums[kLanes] = {};
    std::size_t i = first;
    for (; i + kLanes <= end; i += kLanes) {
      for (std::size_t lane = 0; lane < kLanes; ++lane) sums[lane] += term(i + lane);
    }
    for (; i < end; ++i) total += term(i);
    for (const float sum : sums) total += sum;
  }
  return total;
}

}  // namespace

float best_logit(std::span<const float> logits) { return logits[static_cast<std::size_t>(ops::argmax(logits))]; }

RowStatistics row_statistics(std::span<const float> logits) {
  const float best = best_logit(logits);
  if (logits.size() <= kShortRow) {
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
  const auto probabilities = std::make_unique_for_overwrite<float[]>(logits.size());
  ops::softmax(logits, {probabilities.get(), logits.size()});
  // The best one's is one over the sum.
  const double log_total = -std::log(double{probabilities[static_cast<std::size_t>(ops::argmax(logits))]});
  return {.log_sum = best + log_total, .entropy = log_total - weighted_distance(logits, probabilities.get(), best)};
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
  std::vector<Candidate> found;
  const std::size_t blocks = block_count(logits.size(), k);
  if (blocks * 8 > logits.size()) {
    for (std::size_t i = 0; i < logits.size(); ++i) {
      if (logits[i] != kForbidden) found.push_back({logits[i], static_cast<std::int32_t>(i)});
    }
    return found;
  }
  const std::vector<float> maxima = block_maxima(logits, blocks);
  std::vector<float> order = maxima;
  const auto kth = order.begin() + static_cast<std::ptrdiff_t>(k) - 1;
  std::nth_element(order.begin(), kth, order.end(), std::greater<>());
  for (std::size_t block = 0; block < blocks; ++block) {
    if (maxima[block] < *kth) continue;
    for (std::size_t i = block; i < logits.size(); i += blocks) {
      if (logits[i] >= *kth && logits[i] != kForbidden) found.push_back({logits[i], static_cast<std::int32_t>(i)});
    }
  }
  std::sort(found.begin(), found.end(), [](const Candidate& a, const Candidate& b) { return a.id < b.id; });
  return found;
}

}  // namespace powerhouse
