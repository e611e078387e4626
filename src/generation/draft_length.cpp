#include "generation/draft_length.h"

#include <algorithm>

namespace powerhouse {
namespace {

constexpr double kKeptPass = 0.97;   // weight of a pass when the next comes
constexpr double kKeptTrial = 0.95;  // of a draft
constexpr double kHope = 0.8;        // acceptance of what was never tried
constexpr double kShare = 0.1;       // of a row in a pass of one row, until passes of several are known
constexpr double kOutlier = 4;       // a pass that took so many times what was expected was interrupted

}  // namespace

DraftLength::Promise& DraftLength::promise(std::size_t number) {
  if (promises_.size() <= number) promises_.resize(number + 1);
  return promises_[number];
}

double DraftLength::pass_seconds(std::int64_t rows) const {
  if (weight_ == 0) return 0;
  const double mean_rows = rows_ / weight_, mean = seconds_ / weight_;
  const double variance = rows2_ / weight_ - mean_rows * mean_rows;
  const double covariance = rows_seconds_ / weight_ - mean_rows * mean;
  const double known = variance > 1e-9 ? covariance / variance : kShare * mean;
  // More rows never take less, and never more than passes of their own.
  const double slope = std::clamp(known, 0.0, mean / mean_rows);
  return mean + slope * (static_cast<double>(rows) - mean_rows);
}

void DraftLength::passed(std::int64_t rows, double seconds) {
  if (weight_ > 3) seconds = std::min(seconds, kOutlier * pass_seconds(rows));
  const auto count = static_cast<double>(rows);
  for (double* sum : {&weight_, &rows_, &rows2_, &seconds_, &rows_seconds_}) *sum *= kKeptPass;
  weight_ += 1;
  rows_ += count;
  rows2_ += count * count;
  seconds_ += seconds;
  rows_seconds_ += count * seconds;
}

void DraftLength::drafted(std::int64_t tokens, double seconds) {
  if (tokens == 0) return;
  token_weight_ = token_weight_ * kKeptTrial + static_cast<double>(tokens);
  token_seconds_ = token_seconds_ * kKeptTrial + seconds;
}

void DraftLength::verified(std::size_t number, std::int64_t seen, std::int64_t accepted) {
  std::vector<Place>& places = promise(number).places;
  places.resize(static_cast<std::size_t>(most_));
  for (std::int64_t k = 0; k < std::min(seen, accepted + 1); ++k) {
    Place& place = places[static_cast<std::size_t>(k)];
    place.trials = place.trials * kKeptTrial + 1;
    place.accepted = place.accepted * kKeptTrial + (k < accepted ? 1 : 0);
  }
}

std::int64_t DraftLength::best(const Promise& promise, std::int64_t branches) const {
  const double token = token_weight_ > 0 ? token_seconds_ / token_weight_ : 0;
  double chance = 1, tokens = 1, hope = kHope;
  double best_speed = 1 / pass_seconds(1);
  std::int64_t best = 0;
  for (std::int64_t n = 1; n <= most_; ++n) {
    const auto k = static_cast<std::size_t>(n - 1);
    const Place place = k < promise.places.size() ? promise.places[k] : Place{};
    hope = (place.accepted + hope) / (place.trials + 1);  // what is not known is as the token before
    chance *= hope;
    tokens += chance;
    const double speed = tokens / (pass_seconds((n + 1) * branches) + token * static_cast<double>(n));
    if (speed <= best_speed) continue;
    best_speed = speed;
    best = n;
  }
  return best;
}

std::int64_t DraftLength::choose(std::size_t number, std::int64_t branches) {
  if (!adaptive_) return most_;
  if (weight_ == 0) return 0;  // a plain pass first: what drafts are measured by
  Promise& own = promise(number);
  const std::int64_t best = this->best(own, branches);
  if (best > 0) {
    own.refused = 0;
    own.patience = kPatience;
    return best;
  }
  if (++own.refused < own.patience) return 0;
  own.refused = 0;
  own.patience = std::min(2 * own.patience, kMostPatience);
  return std::min<std::int64_t>(most_, 4);
}

}  // namespace powerhouse
