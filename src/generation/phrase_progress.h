// How far a text has come with phrases that must occur in it.
#pragma once

#include <cstdint>
#include <vector>

#include "powerhouse/beam_search.h"

namespace powerhouse {

/// Of each alternative, how many of its first tokens the text ends with; of each constraint, whether it is met.
struct PhraseState {
  std::vector<std::int32_t> matched{};
  std::vector<bool> met{};
};

class PhraseConstraints {
 public:
  explicit PhraseConstraints(const std::vector<PhraseAlternatives>& constraints);

  bool empty() const { return constraint_count_ == 0; }
  PhraseState begin() const;
  /// `state` with one more token (Knuth, Morris and Pratt 1977: a token that breaks a phrase may still go on with a
  /// shorter beginning of it).
  void advance(PhraseState& state, std::int64_t token) const;
  /// Tokens that bring a phrase on that is not met, ascending.
  std::vector<std::int64_t> next_tokens(const PhraseState& state) const;
  /// Tokens of constraints that stand: all of a met one's longest alternative, else those of its furthest.
  std::int64_t bank(const PhraseState& state) const;
  bool all_met(const PhraseState& state) const;

 private:
  struct Phrase {
    std::size_t constraint = 0;
    std::vector<std::int64_t> ids;
    std::vector<std::int32_t> fallback;  // of each beginning: its longest proper end that is a beginning too
  };
  std::size_t constraint_count_;
  std::vector<std::int64_t> lengths_;  // of the longest alternative of each constraint
  std::vector<Phrase> phrases_;
};

}  // namespace powerhouse
