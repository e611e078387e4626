#include "generation/processors.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "powerhouse/error.h"

namespace powerhouse {
namespace {

constexpr float kForbidden = -std::numeric_limits<float>::infinity();

struct Candidate {
  float logit;
  std::int32_t id;
};

// By falling logit; equal logits by falling id, so that dropping from the back takes the lower id first, as a stable
// ascending sort does.
bool ranks_before(const Candidate& a, const Candidate& b) {
  return a.logit != b.logit ? a.logit > b.logit : a.id > b.id;
}

// The model's own logits are finite; what a processor makes of them, or a penalty near zero, may not be.
void check_numbers(std::span<const float> logits) {
  for (std::size_t i = 0; i < logits.size(); ++i) {
    if (logits[i] <= std::numeric_limits<float>::max()) continue;
    throw Error(ErrorKind::numeric, "a processor left a logit that is neither finite nor -infinity",
                {.field = "logits[" + std::to_string(i) + "]", .found = std::to_string(logits[i])});
  }
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
  if (temperature == 1.0f || logits.empty()) return;
  // Near zero the quotient leaves float32; the distances to the best, all that a softmax sees, do not.
  const float best = *std::max_element(logits.begin(), logits.end());
  const bool overflows = std::isfinite(best) && !std::isfinite(best / temperature);
  const float shift = overflows ? best : 0.0f;
  for (float& logit : logits) logit = (logit - shift) / temperature;
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
  std::vector<Candidate> candidates;
  candidates.reserve(logits.size());
  for (std::size_t i = 0; i < logits.size(); ++i) {
    if (logits[i] != kForbidden) candidates.push_back({logits[i], static_cast<std::int32_t>(i)});
  }
  if (candidates.empty()) return;
  const float best = std::min_element(candidates.begin(), candidates.end(), ranks_before)->logit;
  const auto weight = [best](const Candidate& candidate) { return std::exp(double{candidate.logit} - best); };
  double total = 0;
  for (const Candidate& candidate : candidates) total += weight(candidate);

  // transformers drops from the least probable up while what it dropped sums to at most 1 - p: a token stays as long as
  // those before it hold less than p. They are few, so only the front of the row is put in order, growing as needed.
  std::size_t kept = 0;
  double above = 0;
  for (std::size_t sorted = 0; kept == sorted && kept < candidates.size();) {
    const std::size_t until = std::min(candidates.size(), std::max<std::size_t>(256, sorted * 8));
    const auto at = [&candidates](std::size_t i) { return candidates.begin() + static_cast<std::ptrdiff_t>(i); };
    std::nth_element(at(sorted), at(until - 1), candidates.end(), ranks_before);
    std::sort(at(sorted), at(until), ranks_before);
    sorted = until;
    while (kept < sorted && above < double{p} * total) above += weight(candidates[kept++]);
  }
  for (std::size_t i = kept; i < candidates.size(); ++i)
    logits[static_cast<std::size_t>(candidates[i].id)] = kForbidden;
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

void apply_penalties(std::span<float> logits, const GenerationOptions& options, const LogitsContext& context) {
  apply_repetition_penalty(logits, context.ids, options.repetition_penalty);
  for (const LogitsProcessor& processor : options.processors) processor(logits, context);
  if (!options.processors.empty() || options.repetition_penalty != 1.0f) check_numbers(logits);
}

bool draws_by_warpers_alone(const GenerationOptions& options) {
  return options.processors.empty() && options.repetition_penalty == 1.0f && !options.constraint;
}

void apply_warpers(std::span<float> logits, const GenerationOptions& options) {
  apply_temperature(logits, options.temperature);
  apply_top_k(logits, options.top_k);
  apply_top_p(logits, options.top_p);
  apply_min_p(logits, options.min_p);
}

void process_logits(std::span<float> logits, const GenerationOptions& options, const LogitsContext& context) {
  apply_penalties(logits, options, context);
  if (options.temperature != 0.0f) apply_warpers(logits, options);
}

}  // namespace powerhouse
