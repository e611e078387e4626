// The finished hypotheses of a beam search, and when nothing better can come.
#pragma once

#include <cstdint>
#include <vector>

#include "powerhouse/beam_search.h"

namespace powerhouse {

class FinishedBeams {
 public:
  /// Keeps the best `capacity`; `limit` is the most new tokens a hypothesis can have.
  FinishedBeams(const BeamSearchOptions& options, std::size_t capacity, std::int64_t limit)
      : length_penalty_(options.length_penalty),
        early_stopping_(options.num_beams == 1 ? EarlyStopping::yes : options.early_stopping),
        capacity_(capacity),
        limit_(limit) {}

  /// `sum` is of the log-probabilities of `hypothesis`, whose score is set here.
  void add(BeamHypothesis hypothesis, float sum);
  /// Whether running beams, the best of which has the sum `best` with `length` new tokens, need not go on.
  bool is_done(float best, std::int64_t length) const;
  /// Best first.
  std::vector<BeamHypothesis> take() { return std::move(hypotheses_); }

 private:
  float score(float sum, std::int64_t length) const;

  double length_penalty_;
  EarlyStopping early_stopping_;
  std::size_t capacity_;
  std::int64_t limit_;
  std::vector<BeamHypothesis> hypotheses_;
};

}  // namespace powerhouse
