// What warpers ask of a whole row: a few passes over it, where a token's probability is exp(logit - log_sum).
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

namespace powerhouse {

constexpr float kForbidden = -std::numeric_limits<float>::infinity();

/// The least that is not forbidden.
constexpr float kLowest = -std::numeric_limits<float>::max();

/// Tokens that are not forbidden.
std::int64_t count_left(std::span<const float> logits);

/// The largest logit; -infinity where every token is forbidden. The row is not empty and without NaN.
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

/// The k best in order, or as many as are not forbidden.
std::vector<Candidate> ranked_candidates(std::span<const float> logits, std::size_t k);

/// A power of two, in how many interleaved blocks a row is cut so that neither finding their maxima nor looking at
/// those that hold one of the `wanted` best costs much.
std::size_t block_count(std::size_t vocabulary, std::size_t wanted);

/// The maximum of each of blocks b, b + blocks, b + 2 * blocks ...: maxima of whole vectors, without a step across
/// lanes. The k-th largest of them is at most the k-th largest logit.
std::vector<float> block_maxima(std::span<const float> logits, std::size_t blocks);

}  // namespace powerhouse
