// Mirostat (Basu et al. 2021) as llama.cpp has it: the cut is moved token by token so that the surprise of what is
// chosen, -log2 p, stays near tau. Version 1 estimates the slope of a Zipf distribution and cuts by rank, version 2 by
// surprise.
#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

#include "generation/row_statistics.h"
#include "powerhouse/logits_processors.h"

namespace powerhouse::processors {
namespace {

constexpr std::size_t kTokens = 100;  // that the slope is estimated from

// How many tokens of a vocabulary version 1 keeps, by the best of them.
std::size_t zipf_rank(std::span<const Candidate> sorted, std::size_t vocabulary, double mu) {
  double products = 0;
  double squares = 0;
  for (std::size_t i = 0; i + 1 < std::min(kTokens, sorted.size()); ++i) {
    const double t = std::log(static_cast<double>(i + 2) / static_cast<double>(i + 1));
    products += t * (double{sorted[i].logit} - sorted[i + 1].logit);
    squares += t * t;
  }
  const double slope = products / squares;
  const double epsilon = slope - 1;
  const double scale = epsilon * std::pow(2.0, mu) / (1 - std::pow(static_cast<double>(vocabulary), -epsilon));
  const double rank = std::pow(scale, 1 / slope);
  if (!(rank >= 1)) return 1;
  return rank < static_cast<double>(vocabulary) ? static_cast<std::size_t>(rank) : vocabulary;
}

}  // namespace

// The share that the token had of what was left for it.
void Mirostat::learn(std::int64_t id) {
  const auto found = std::find(ids_.begin(), ids_.end(), id);
  if (found == ids_.end()) return;  // it was forced
  const double log_probability =
      double{logits_[static_cast<std::size_t>(found - ids_.begin())]} - row_statistics(logits_).log_sum;
  mu_ -= eta_ * static_cast<float>(-log_probability / std::numbers::ln2 - tau_);
}

void Mirostat::operator()(std::span<float> logits, const LogitsContext& context) {
  if (!ids_.empty() && !context.ids.empty()) learn(context.ids.back());
  ids_.clear();
  logits_.clear();
  if (logits.empty() || best_logit(logits) == kForbidden) return;
  std::vector<Candidate> kept;
  if (version_ == 1) {
    kept = ranked_candidates(logits, kTokens);
    const std::size_t rank = zipf_rank(kept, logits.size(), mu_);
    if (rank > kept.size()) kept = ranked_candidates(logits, rank);
    kept.resize(std::min(rank, kept.size()));
  } else {
    const double log_sum = row_statistics(logits).log_sum;
    const double bound = std::min(log_sum - mu_ * std::numbers::ln2, double{best_logit(logits)});
    for (std::size_t i = 0; i < logits.size(); ++i) {
      if (logits[i] >= bound && logits[i] != kForbidden) kept.push_back({logits[i], static_cast<std::int32_t>(i)});
    }
  }
  std::fill(logits.begin(), logits.end(), kForbidden);
  for (const Candidate& one : kept) {
    logits[static_cast<std::size_t>(one.id)] = one.logit;
    ids_.push_back(one.id);
    logits_.push_back(one.logit);
  }
}

}  // namespace powerhouse::processors
