#include "generation/beam_candidates.h"

#include <algorithm>
#include <limits>
#include <utility>

namespace powerhouse {
namespace {

constexpr std::size_t kBlock = 64;

// Whether any of a block is above the bound: a loop without branches, which compilers turn into vectors. Nearly all
// blocks of a vocabulary end here.
bool any_above(const float* values, float score, float bound) {
  int above = 0;
  for (std::size_t i = 0; i < kBlock; ++i) above |= values[i] + score > bound ? 1 : 0;
  return above != 0;
}

}  // namespace

bool ranks_before(const BeamCandidate& a, const BeamCandidate& b) {
  if (a.score != b.score) return a.score > b.score;
  return a.beam != b.beam ? a.beam < b.beam : a.token < b.token;
}

void BestCandidates::add(std::span<const float> log_probs, float score, std::size_t beam) {
  const auto bound = [&] {
    return heap_.size() < count_ ? -std::numeric_limits<float>::infinity() : heap_.front().score;
  };
  const auto look_at = [&](std::size_t i) {
    const float sum = log_probs[i] + score;
    if (!(sum > bound())) return;
    if (heap_.size() == count_) {
      std::pop_heap(heap_.begin(), heap_.end(), ranks_before);
      heap_.pop_back();
    }
    heap_.push_back({.score = sum, .beam = beam, .token = static_cast<std::int64_t>(i)});
    std::push_heap(heap_.begin(), heap_.end(), ranks_before);
  };
  if (count_ == 0) return;
  std::size_t i = 0;
  for (; i + kBlock <= log_probs.size(); i += kBlock) {
    if (!any_above(log_probs.data() + i, score, bound())) continue;
    for (std::size_t j = i; j < i + kBlock; ++j) look_at(j);
  }
  for (; i < log_probs.size(); ++i) look_at(i);
}

std::vector<BeamCandidate> BestCandidates::take() {
  std::sort_heap(heap_.begin(), heap_.end(), ranks_before);
  return std::move(heap_);
}

}  // namespace powerhouse
