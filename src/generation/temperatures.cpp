// Temperature as a processor, and llama.cpp's dynamic one: hot where the model is uncertain.
#include <algorithm>
#include <cmath>

#include "generation/row_statistics.h"
#include "generation/warpers.h"
#include "ops/vocabulary.h"
#include "powerhouse/logits_processors.h"

namespace powerhouse::processors {
namespace {

void keep_best(std::span<float> logits) {
  const std::int64_t best = ops::argmax(logits);
  for (std::int64_t i = 0; i < std::ssize(logits); ++i) {
    if (i != best) logits[static_cast<std::size_t>(i)] = kForbidden;
  }
}

}  // namespace

void Temperature::operator()(std::span<float> logits, const LogitsContext& /*context*/) const {
  if (logits.empty()) return;
  if (temperature > 0) return apply_temperature(logits, temperature);
  keep_best(logits);
}

void DynamicTemperature::operator()(std::span<float> logits, const LogitsContext& context) const {
  if (range <= 0) return Temperature{temperature}(logits, context);
  if (logits.empty() || best_logit(logits) == kForbidden) return;
  const std::int64_t count = candidates > 0 ? candidates : count_left(logits);
  if (count <= 1) return;
  const float low = std::max(0.0f, temperature - range);
  const float high = temperature + range;
  const double share = row_statistics(logits).entropy / std::log(static_cast<double>(count));
  const double between = std::pow(std::max(0.0, share), double{exponent});
  Temperature{static_cast<float>(low + (high - low) * between)}(logits, context);
}

}  // namespace powerhouse::processors
