// Rules about tokens: bias, bans, what must begin or end a text, and guidance by a second row of logits.
#include <algorithm>
#include <cmath>
#include <limits>

#include "generation/row_statistics.h"
#include "ops/vocabulary.h"
#include "powerhouse/logits_processors.h"

namespace powerhouse::processors {
namespace {

void forbid(std::span<float> logits, std::span<const std::int64_t> ids) {
  for (const std::int64_t id : ids) {
    if (static_cast<std::size_t>(id) < logits.size()) logits[static_cast<std::size_t>(id)] = kForbidden;
  }
}

void force(std::span<float> logits, std::span<const std::int64_t> ids) {
  std::fill(logits.begin(), logits.end(), kForbidden);
  for (const std::int64_t id : ids) {
    if (static_cast<std::size_t>(id) < logits.size()) logits[static_cast<std::size_t>(id)] = 0.0f;
  }
}

}  // namespace

void LogitBias::operator()(std::span<float> logits, const LogitsContext& /*context*/) const {
  for (const TokenBias& one : biases) {
    if (static_cast<std::size_t>(one.id) < logits.size()) logits[static_cast<std::size_t>(one.id)] += one.bias;
  }
}

void SequenceBiases::operator()(std::span<float> logits, const LogitsContext& context) const {
  for (const SequenceBias& one : biases) {
    if (one.ids.empty() || one.ids.size() - 1 > context.ids.size()) continue;
    const auto at = static_cast<std::size_t>(one.ids.back());
    const auto end = context.ids.last(one.ids.size() - 1);
    if (at < logits.size() && std::equal(end.begin(), end.end(), one.ids.begin())) logits[at] += one.bias;
  }
}

void MinLength::operator()(std::span<float> logits, const LogitsContext& context) const {
  if (std::ssize(context.ids) < length || context.new_tokens() < new_tokens) forbid(logits, ids);
}

void SuppressTokens::operator()(std::span<float> logits, const LogitsContext& /*context*/) const {
  forbid(logits, ids);
}

void SuppressAtBegin::operator()(std::span<float> logits, const LogitsContext& context) const {
  const std::int64_t first = forced && context.prompt_length <= 1 ? 1 : 0;
  if (context.new_tokens() == first) forbid(logits, ids);
}

void ForcedBos::operator()(std::span<float> logits, const LogitsContext& context) const {
  if (context.ids.size() == 1) force(logits, {&id, 1});
}

void ForcedEos::operator()(std::span<float> logits, const LogitsContext& context) const {
  if (context.new_tokens() == limit - 1) force(logits, ids);
}

void ExponentialDecay::operator()(std::span<float> logits, const LogitsContext& context) const {
  const std::int64_t beyond = context.new_tokens() - decay.start;
  if (beyond <= 0) return;
  // What float32 does not hold is its largest number: no other is likelier, and a constraint may forbid it yet.
  constexpr float kMost = std::numeric_limits<float>::max();
  const double power = std::pow(double{decay.factor}, static_cast<double>(beyond));
  const double growth = std::min(power, std::numeric_limits<double>::max()) - 1;
  for (const std::int64_t id : ids) {
    const auto at = static_cast<std::size_t>(id);
    if (at >= logits.size() || !std::isfinite(logits[at])) continue;
    const auto added = static_cast<float>(std::min(std::abs(logits[at]) * growth, double{kMost}));
    logits[at] = std::min(logits[at] + added, kMost);
  }
}

void guide(std::span<float> logits, std::span<const float> negative, float scale) {
  const auto log_sum = [](std::span<const float> row) { return static_cast<float>(row_statistics(row).log_sum); };
  const float ours = log_sum(logits);
  const float theirs = log_sum(negative);
  for (std::size_t i = 0; i < logits.size(); ++i) {
    const float log_q = negative[i] - theirs;
    const float guided = scale * (logits[i] - ours - log_q) + log_q;
    logits[i] = logits[i] == kForbidden || negative[i] == kForbidden ? kForbidden : guided;
  }
}

}  // namespace powerhouse::processors
