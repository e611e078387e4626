// A group of beams and one step of its search, apart from the model and its cache.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <unordered_set>
#include <vector>

#include "generation/beam_candidates.h"
#include "generation/finished_beams.h"
#include "generation/phrase_progress.h"
#include "generation/sampling_chain.h"
#include "support/philox.h"

namespace powerhouse {

/// What is the same for all beams of a search.
struct BeamRules {
  const BeamSearchOptions& options;
  std::unordered_set<std::int64_t> ends;
  PhraseConstraints phrases;
  SamplingChain chain;                         ///< of generation, before the first token
  std::optional<ConstraintMatcher> matcher{};  ///< of generation.constraint, likewise
  std::int64_t prompt_length = 0;
  std::int64_t limit = 0;  ///< most new tokens
  std::uint64_t seed = 0;
  Random random;  ///< of beam sampling
  std::size_t group_size() const { return static_cast<std::size_t>(options.num_beams / options.num_beam_groups); }
};

struct Beam {
  std::vector<std::int64_t> history;  ///< prompt and new tokens
  float sum = 0;                      ///< of the new tokens' log-probabilities, as processors left them
  PhraseState phrases;
  SamplingChain chain;
  std::optional<ConstraintMatcher> matcher{};
};

/// What changes a beam's log-probabilities. Samplers leave it at least as many tokens as may all be EOS, and one more.
SamplingChain beam_chain(const GenerationOptions& options, ChainSetting setting);

class BeamGroup {
 public:
  /// Starts from one beam that holds the prompt.
  BeamGroup(const BeamRules& rules, std::vector<std::int64_t> prompt);

  /// One step: `log_probs` are the rows of the beams, one behind the other, and are changed; `taken` are tokens that
  /// groups before took in this step. Returns the beams that go on, best first, as they stand in `beams` afterwards,
  /// and which beams they come from; none where the group is done.
  std::vector<BeamCandidate> step(std::span<float> log_probs, std::span<const std::int64_t> taken);
  /// Takes the running beams as they are for hypotheses: a cancel came.
  void cut_off();

  const std::vector<Beam>& beams() const { return beams_; }
  std::vector<BeamHypothesis> take() { return finished_.take(); }

 private:
  std::int64_t new_tokens() const { return std::ssize(beams_.front().history) - rules_->prompt_length; }
  void apply_rules(std::span<float> log_probs, std::span<const std::int64_t> taken);
  std::vector<BeamCandidate> in_order(std::span<const float> log_probs) const;
  bool ends_text(const BeamCandidate& candidate) const;
  void finish(const BeamCandidate& candidate);
  void move_to(const std::vector<BeamCandidate>& running);

  const BeamRules* rules_;
  std::vector<Beam> beams_;
  FinishedBeams finished_;
};

}  // namespace powerhouse
