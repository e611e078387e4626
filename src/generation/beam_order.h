// In which order a search likes the continuations of its beams: one function a strategy.
#pragma once

#include <span>
#include <vector>

#include "generation/beam_group.h"

namespace powerhouse {

/// The (number of EOS + 1, at least 2) x group size best: enough for as many as there are beams that do not end.
std::size_t candidate_count(const BeamRules& rules);

/// By score.
std::vector<BeamCandidate> order_by_score(const BeamRules& rules, std::span<const Beam> beams,
                                          std::span<const float> log_probs);
/// Drawn without replacement from the softmax of sums, in the order of drawing.
std::vector<BeamCandidate> order_by_chance(const BeamRules& rules, std::span<const Beam> beams,
                                           std::span<const float> log_probs);
/// Dynamic beam allocation (Post and Vilar 2018): the best by score, what brings a phrase on, and the best of each beam
/// lie in banks by how many tokens of constraints stand. The best of each bank in turn, the fullest bank first.
std::vector<BeamCandidate> order_by_banks(const BeamRules& rules, std::span<const Beam> beams,
                                          std::span<const float> log_probs);

}  // namespace powerhouse
