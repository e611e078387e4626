// The best continuations of several beams, without sorting a vocabulary.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace powerhouse {

/// A beam and the token that may follow it.
struct BeamCandidate {
  float score = 0;  ///< sum of log-probabilities, the token's included
  std::size_t beam = 0;
  std::int64_t token = 0;
};

/// Better first: higher scores, then lower beams and tokens.
bool ranks_before(const BeamCandidate& a, const BeamCandidate& b);

/// Keeps the `count` best of all that it is shown, rows in the order of beams. Forbidden tokens (-infinity) are never
/// among them.
class BestCandidates {
 public:
  explicit BestCandidates(std::size_t count) : count_(count) {}

  /// Candidates of one beam; `score` is its own sum.
  void add(std::span<const float> log_probs, float score, std::size_t beam);
  /// Best first.
  std::vector<BeamCandidate> take();

 private:
  std::size_t count_;
  std::vector<BeamCandidate> heap_;  // the worst in front, once there are `count` of them
};

}  // namespace powerhouse
