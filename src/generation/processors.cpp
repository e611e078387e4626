#include "generation/processors.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <string>
#include <vector>

#include "powerhouse/error.h"

namespace powerhouse {
namespace {

constexpr float kForbidden = -std::numeric_limits<float>::infinity();

// Tokens that are still allowed, by falling logit; equal logits by falling id, so that dropping from the back takes
// the lower id first, as a stable ascending sort does.
std::vector<std::int32_t> sorted_candidates(std::span<const float> logits) {
  std::vector<std::int32_t> order;
  order.reserve(logits.size());
  for (std::size_t i = 0; i < logits.size(); ++i) {
    if (logits[i] != kForbidden) order.push_back(static_cast<std::int32_t>(i));
  }
  std::sort(order.begin(), order.end(), [&](std::int32_t a, std::int32_t b) {
    const float left = logits[static_cast<std::size_t>(a)];
    const float right = logits[static_cast<std::size_t>(b)];
    return left != right ? left > right : a > b;
  });
  return order;
}

[[noreturn]] void out_of_bounds(const char* field, const char* expected, double found) {
  throw Error(ErrorKind::usage, "option out of bounds",
              {.field = field, .expected = expected, .found = std::to_string(found)});
}

}  // namespace

void apply_repetition_penalty(std::span<float> logits, std::span<const std::int64_t> ids, float penalty) {
  if (penalty == 1.0f) return;
  std::vector<bool> seen(logits.size(), false);
  for (const std::int64_t id : ids) {
    const auto at = static_cast<std::size_t>(id);
    if (at >= logits.size() || seen[at]) continue;
    seen[at] = true;
    logits[at] = logits[at] < 0 ? logits[at] * penalty : logits[at] / penalty;
  }
}

void apply_temperature(std::span<float> logits, float temperature) {
  if (temperature == 1.0f) return;
  for (float& logit : logits) logit /= temperature;
}

void apply_top_k(std::span<float> logits, std::int64_t k) {
  if (k <= 0 || k >= static_cast<std::int64_t>(logits.size())) return;
  std::vector<float> values(logits.begin(), logits.end());
  const auto kth = values.begin() + (k - 1);
  std::nth_element(values.begin(), kth, values.end(), std::greater<>());
  for (float& logit : logits) {
    if (logit < *kth) logit = kForbidden;
  }
}

void apply_top_p(std::span<float> logits, float p) {
  if (p >= 1.0f) return;
  const std::vector<std::int32_t> order = sorted_candidates(logits);
  if (order.empty()) return;
  const float best = logits[static_cast<std::size_t>(order.front())];
  std::vector<double> weights;
  weights.reserve(order.size());
  for (const std::int32_t id : order) weights.push_back(std::exp(double{logits[static_cast<std::size_t>(id)]} - best));
  const double total = std::accumulate(weights.begin(), weights.end(), 0.0);
  // transformers sums from the least probable up and drops while the sum is at most 1 - p; the best always stays.
  double dropped = 0;
  for (std::size_t i = order.size(); i-- > 1;) {
    dropped += weights[i] / total;
    if (dropped > 1.0 - double{p}) break;
    logits[static_cast<std::size_t>(order[i])] = kForbidden;
  }
}

void apply_min_p(std::span<float> logits, float min_p) {
  if (min_p <= 0.0f) return;
  const float best = *std::max_element(logits.begin(), logits.end());
  const float bound = best + std::log(min_p);  // of logits: probabilities share one denominator
  for (float& logit : logits) {
    if (logit < bound) logit = kForbidden;
  }
}

void check_options(const GenerationOptions& options) {
  const auto finite = [](float value) { return std::isfinite(value); };
  if (options.max_new_tokens < 0) {
    out_of_bounds("max_new_tokens", "0 or more", static_cast<double>(options.max_new_tokens));
  }
  if (!finite(options.temperature) || options.temperature < 0) {
    out_of_bounds("temperature", "0 or more", options.temperature);
  }
  if (options.top_k < 0) out_of_bounds("top_k", "0 or more", static_cast<double>(options.top_k));
  if (!finite(options.top_p) || options.top_p <= 0 || options.top_p > 1) {
    out_of_bounds("top_p", "above 0, at most 1", options.top_p);
  }
  if (!finite(options.min_p) || options.min_p < 0 || options.min_p > 1) {
    out_of_bounds("min_p", "0 to 1", options.min_p);
  }
  if (!finite(options.repetition_penalty) || options.repetition_penalty <= 0) {
    out_of_bounds("repetition_penalty", "above 0", options.repetition_penalty);
  }
  for (const std::string& stop : options.stop) {
    if (stop.empty()) throw Error(ErrorKind::usage, "a stop string must not be empty", {.field = "stop"});
  }
}

void process_logits(std::span<float> logits, const GenerationOptions& options, const LogitsContext& context) {
  apply_repetition_penalty(logits, context.ids, options.repetition_penalty);
  for (const LogitsProcessor& processor : options.processors) processor(logits, context);
  if (options.temperature == 0.0f) return;
  apply_temperature(logits, options.temperature);
  apply_top_k(logits, options.top_k);
  apply_top_p(logits, options.top_p);
  apply_min_p(logits, options.min_p);
}

}  // namespace powerhouse
