#include "generation/finished_beams.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace powerhouse {
namespace {

// What misses a constraint stands behind everything that misses none.
bool is_better(const BeamHypothesis& a, const BeamHypothesis& b) {
  return a.constraints_met != b.constraints_met ? a.constraints_met : a.score > b.score;
}

}  // namespace

// The power in float64, the quotient in float32, as transformers has them.
float FinishedBeams::score(float sum, std::int64_t length) const {
  return sum / static_cast<float>(std::pow(static_cast<double>(length), length_penalty_));
}

void FinishedBeams::add(BeamHypothesis hypothesis, float sum) {
  hypothesis.score = score(sum, std::ssize(hypothesis.ids));
  const auto place = std::upper_bound(hypotheses_.begin(), hypotheses_.end(), hypothesis, is_better);
  hypotheses_.insert(place, std::move(hypothesis));
  if (hypotheses_.size() > capacity_) hypotheses_.pop_back();
}

bool FinishedBeams::is_done(float best, std::int64_t length) const {
  if (hypotheses_.size() < capacity_) return false;
  if (early_stopping_ == EarlyStopping::yes) return true;
  const bool may_grow = early_stopping_ == EarlyStopping::never && length_penalty_ > 0;
  return !(score(best, may_grow ? limit_ : length) > hypotheses_.back().score);
}

}  // namespace powerhouse
