#include "generation/beam_order.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <map>
#include <utility>

#include "generation/row_statistics.h"

namespace powerhouse {
namespace {

std::span<const float> row(std::span<const float> rows, std::size_t vocabulary, std::size_t i) {
  return rows.subspan(i * vocabulary, vocabulary);
}

// What brings a phrase of a beam on, and its best token.
void add_candidates_of(std::vector<BeamCandidate>& all, const BeamRules& rules, const Beam& beam, std::size_t index,
                       std::span<const float> log_probs) {
  const auto add = [&](std::int64_t token) {
    const float log_prob = log_probs[static_cast<std::size_t>(token)];
    if (log_prob != kForbidden) all.push_back({.score = log_prob + beam.sum, .beam = index, .token = token});
  };
  for (const std::int64_t token : rules.phrases.next_tokens(beam.phrases)) add(token);
  add(std::max_element(log_probs.begin(), log_probs.end()) - log_probs.begin());
}

}  // namespace

std::size_t candidate_count(const BeamRules& rules) {
  return std::max<std::size_t>(2, rules.ends.size() + 1) * rules.group_size();
}

std::vector<BeamCandidate> order_by_score(const BeamRules& rules, std::span<const Beam> beams,
                                          std::span<const float> log_probs) {
  const std::size_t vocabulary = log_probs.size() / beams.size();
  BestCandidates best(candidate_count(rules));
  for (std::size_t i = 0; i < beams.size(); ++i) best.add(row(log_probs, vocabulary, i), beams[i].sum, i);
  return best.take();
}

// The largest of log p - log(an exponential number) are draws from p without replacement (Kool et al. 2019).
std::vector<BeamCandidate> order_by_chance(const BeamRules& rules, std::span<const Beam> beams,
                                           std::span<const float> log_probs) {
  const std::size_t vocabulary = log_probs.size() / beams.size();
  const std::int64_t place = std::ssize(beams.front().history) - rules.prompt_length;
  const std::size_t first = static_cast<std::size_t>(place) * rules.group_size() * vocabulary;
  std::vector<std::pair<double, BeamCandidate>> drawn;
  for (std::size_t i = 0; i < log_probs.size(); ++i) {
    if (log_probs[i] == kForbidden) continue;
    const std::size_t beam = i / vocabulary;
    const float sum = log_probs[i] + beams[beam].sum;
    const double exponential = -std::log1p(-rules.random.uniform(first + i));
    const double key = sum - std::log(std::max(exponential, std::numeric_limits<double>::min()));
    drawn.push_back({key, {.score = sum, .beam = beam, .token = static_cast<std::int64_t>(i % vocabulary)}});
  }
  const auto end = drawn.begin() + static_cast<std::ptrdiff_t>(std::min(drawn.size(), candidate_count(rules)));
  std::partial_sort(drawn.begin(), end, drawn.end(), [](const auto& a, const auto& b) { return a.first > b.first; });
  std::vector<BeamCandidate> out;
  for (auto one = drawn.begin(); one != end; ++one) out.push_back(one->second);
  return out;
}

std::vector<BeamCandidate> order_by_banks(const BeamRules& rules, std::span<const Beam> beams,
                                          std::span<const float> log_probs) {
  const std::size_t vocabulary = log_probs.size() / beams.size();
  std::vector<BeamCandidate> all = order_by_score(rules, beams, log_probs);
  for (std::size_t i = 0; i < beams.size(); ++i) {
    add_candidates_of(all, rules, beams[i], i, row(log_probs, vocabulary, i));
  }
  std::sort(all.begin(), all.end(), ranks_before);
  const auto same = [](const auto& a, const auto& b) { return a.beam == b.beam && a.token == b.token; };
  all.erase(std::unique(all.begin(), all.end(), same), all.end());

  std::map<std::int64_t, std::vector<BeamCandidate>, std::greater<>> banks;
  for (const BeamCandidate& candidate : all) {
    PhraseState state = beams[candidate.beam].phrases;
    rules.phrases.advance(state, candidate.token);
    banks[rules.phrases.bank(state)].push_back(candidate);
  }
  std::vector<BeamCandidate> out;
  for (std::size_t turn = 0; out.size() < all.size(); ++turn) {
    for (const auto& [tokens, bank] : banks) {
      if (turn < bank.size()) out.push_back(bank[turn]);
    }
  }
  return out;
}

}  // namespace powerhouse
