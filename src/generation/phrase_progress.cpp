#include "generation/phrase_progress.h"

#include <algorithm>

namespace powerhouse {
namespace {

std::vector<std::int32_t> fallbacks(const std::vector<std::int64_t>& ids) {
  std::vector<std::int32_t> out(ids.size() + 1, 0);
  for (std::size_t i = 1; i < ids.size(); ++i) {
    std::int32_t length = out[i];
    while (length > 0 && ids[static_cast<std::size_t>(length)] != ids[i])
      length = out[static_cast<std::size_t>(length)];
    out[i + 1] = ids[static_cast<std::size_t>(length)] == ids[i] ? length + 1 : 0;
  }
  return out;
}

}  // namespace

PhraseConstraints::PhraseConstraints(const std::vector<PhraseAlternatives>& constraints)
    : constraint_count_(constraints.size()), lengths_(constraints.size(), 0) {
  for (std::size_t c = 0; c < constraints.size(); ++c) {
    for (const auto& ids : constraints[c]) {
      lengths_[c] = std::max(lengths_[c], std::ssize(ids));
      phrases_.push_back({.constraint = c, .ids = ids, .fallback = fallbacks(ids)});
    }
  }
}

PhraseState PhraseConstraints::begin() const {
  return {.matched = std::vector<std::int32_t>(phrases_.size(), 0), .met = std::vector<bool>(constraint_count_, false)};
}

void PhraseConstraints::advance(PhraseState& state, std::int64_t token) const {
  for (std::size_t p = 0; p < phrases_.size(); ++p) {
    const Phrase& phrase = phrases_[p];
    if (state.met[phrase.constraint]) continue;
    const auto next = [&](std::int32_t length) { return phrase.ids[static_cast<std::size_t>(length)]; };
    std::int32_t& length = state.matched[p];
    while (length > 0 && next(length) != token) length = phrase.fallback[static_cast<std::size_t>(length)];
    if (next(length) == token) ++length;
    if (length == std::ssize(phrase.ids)) state.met[phrase.constraint] = true;
  }
}

std::vector<std::int64_t> PhraseConstraints::next_tokens(const PhraseState& state) const {
  std::vector<std::int64_t> tokens;
  for (std::size_t p = 0; p < phrases_.size(); ++p) {
    if (state.met[phrases_[p].constraint]) continue;
    tokens.push_back(phrases_[p].ids[static_cast<std::size_t>(state.matched[p])]);
  }
  std::sort(tokens.begin(), tokens.end());
  tokens.erase(std::unique(tokens.begin(), tokens.end()), tokens.end());
  return tokens;
}

std::int64_t PhraseConstraints::bank(const PhraseState& state) const {
  std::vector<std::int64_t> furthest(constraint_count_, 0);
  for (std::size_t p = 0; p < phrases_.size(); ++p) {
    const std::size_t c = phrases_[p].constraint;
    furthest[c] = state.met[c] ? lengths_[c] : std::max<std::int64_t>(furthest[c], state.matched[p]);
  }
  std::int64_t sum = 0;
  for (const std::int64_t tokens : furthest) sum += tokens;
  return sum;
}

bool PhraseConstraints::all_met(const PhraseState& state) const {
  return std::all_of(state.met.begin(), state.met.end(), [](bool met) { return met; });
}

}  // namespace powerhouse
