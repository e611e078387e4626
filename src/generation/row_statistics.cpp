#include "generation/row_statistics.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <memory>

#include "ops/vocabulary.h"

namespace powerhouse {
namespace {

constexpr std::size_t kShortRow = 1024;  // float64 is as fast up to here

}  // namespace

std::int64_t count_left(std::span<const float> logits) {
  return static_cast<std::int64_t>(sum_of(logits, [](std::size_t /*i*/, Lanes lanes) {
    return lanes == kForbidden ? Lanes{} : Lanes{1, 1, 1, 1};
  }));
}

float best_logit(std::span<const float> logits) {
  const Lanes forbidden = Lanes{} + kForbidden;
  Lanes best[4] = {forbidden, forbidden, forbidden, forbidden};
  const auto take = [](Lanes& lane, Lanes value) { lane = value > lane ? value : lane; };
  std::size_t i = 0;
  for (; i + 16 <= logits.size(); i += 16) {
    for (std::size_t part = 0; part < 4; ++part) take(best[part], load_lanes(logits.data() + i + 4 * part));
  }
  for (; i < logits.size(); i += 4) {
    take(best[0], load_last_lanes(logits.subspan(i, std::min<std::size_t>(4, logits.size() - i))));
  }
  for (std::size_t part = 1; part < 4; ++part) take(best[0], best[part]);
  return std::max({best[0][0], best[0][1], best[0][2], best[0][3]});
}

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
  const std::size_t count = logits.size();
  const auto probabilities = std::make_unique_for_overwrite<float[]>(count + 3);
  ops::softmax(logits, {probabilities.get(), count});
  std::fill_n(probabilities.get() + count, 3, 0.0f);                                     // for the last lanes
  const double log_total = -std::log(double{best_logit({probabilities.get(), count})});  // the best one's is 1 / sum
  const double distance = sum_of(logits, [&](std::size_t i, Lanes lanes) {
    const Lanes p = load_lanes(probabilities.get() + i);
    return p > 0.0f ? p * (lanes - best) : Lanes{};  // 0 times infinity is none
  });
  return {.log_sum = best + log_total, .entropy = log_total - distance};
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
  const auto add_from = [&](std::size_t first, std::size_t end, float bound) {
    for (std::size_t i = first; i < end; ++i) {
      if (logits[i] >= bound && logits[i] != kForbidden) found.push_back({logits[i], static_cast<std::int32_t>(i)});
    }
  };
  std::size_t blocks = 512;
  while (blocks < 4 * k) blocks *= 2;
  if (blocks * 8 > logits.size()) {
    add_from(0, logits.size(), kForbidden);
    return found;
  }
  std::vector<float> maxima = block_maxima(logits, blocks);
  const auto kth = maxima.begin() + static_cast<std::ptrdiff_t>(k) - 1;
  std::nth_element(maxima.begin(), kth, maxima.end(), std::greater<>());
  constexpr std::size_t kStretch = 64;
  for (std::size_t first = 0; first < logits.size(); first += kStretch) {
    const std::size_t end = std::min(logits.size(), first + kStretch);
    if (best_logit(logits.subspan(first, end - first)) >= *kth) add_from(first, end, *kth);
  }
  return found;
}

}  // namespace powerhouse
