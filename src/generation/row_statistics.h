// What warpers ask of a whole row: a few passes over it, vectorized, where a token's probability is
// exp(logit - log_sum).
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <span>
#include <vector>

namespace powerhouse {

constexpr float kForbidden = -std::numeric_limits<float>::infinity();

/// Four logits at once, of the vector extension that GCC and Clang share: loops over single ones that choose or add up
/// stay scalar, at a quarter of the speed.
using Lanes = float __attribute__((vector_size(16)));

inline Lanes load_lanes(const float* from) {
  Lanes lanes;
  std::memcpy(&lanes, from, sizeof lanes);
  return lanes;
}
/// The rest of a row, filled up with forbidden ones.
inline Lanes load_last_lanes(std::span<const float> rest) {
  float padded[4] = {kForbidden, kForbidden, kForbidden, kForbidden};
  std::copy(rest.begin(), rest.end(), padded);
  return load_lanes(padded);
}

/// The sum of term(i, four logits from i on), in float32 over short stretches and float64 over all.
template <typename Term>
double sum_of(std::span<const float> logits, Term term) {
  constexpr std::size_t kStep = 16;
  constexpr std::size_t kStretch = 32 * kStep;
  const std::size_t count = logits.size();
  double total = 0;
  const auto add = [&](const Lanes& lanes) { total += (lanes[0] + lanes[1]) + (lanes[2] + lanes[3]); };
  std::size_t i = 0;
  while (i + kStep <= count) {
    Lanes sums[4] = {};
    for (const std::size_t end = std::min(count, i + kStretch); i + kStep <= end; i += kStep) {
      for (std::size_t part = 0; part < 4; ++part) {
        sums[part] += term(i + 4 * part, load_lanes(logits.data() + i + 4 * part));
      }
    }
    add((sums[0] + sums[1]) + (sums[2] + sums[3]));
  }
  for (; i < count; i += 4) add(term(i, load_last_lanes(logits.subspan(i, std::min<std::size_t>(4, count - i)))));
  return total;
}

/// Tokens that are not forbidden.
std::int64_t count_left(std::span<const float> logits);

/// The largest logit; -infinity where every token is forbidden. The row is not empty.
float best_logit(std::span<const float> logits);

struct RowStatistics {
  double log_sum = 0;  // of exp(logits)
  double entropy = 0;  // of softmax, in nats
};
/// Float32 exponentials, summed in float64. The row has a token that is not forbidden.
RowStatistics row_statistics(std::span<const float> logits);

struct Candidate {
  float logit;
  std::int32_t id;
};

/// By falling logit, equal ones by rising id.
inline bool ranks_first(const Candidate& a, const Candidate& b) {
  return a.logit != b.logit ? a.logit > b.logit : a.id < b.id;
}

/// Every token among the k largest, ties included and perhaps some more, by rising id; forbidden ones never.
std::vector<Candidate> best_candidates(std::span<const float> logits, std::size_t k);

/// A power of two, in how many interleaved blocks a row is cut so that neither finding their maxima nor looking at
/// those that hold one of the `wanted` best costs much.
std::size_t block_count(std::size_t vocabulary, std::size_t wanted);

/// The maximum of each of blocks b, b + blocks, b + 2 * blocks ...: maxima of whole vectors, without a step across
/// lanes. The k-th largest of them is at most the k-th largest logit.
std::vector<float> block_maxima(std::span<const float> logits, std::size_t blocks);

}  // namespace powerhouse
