#include "model/llama3_factors.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <optional>

#include "ops/rope.h"

namespace powerhouse {
namespace {

// Divisors are quotients of float32 numbers.
constexpr double kRounding = 1e-6;

Rope plain(const Rope& rope) { return {.layout = rope.layout, .theta = rope.theta, .rotary_dim = rope.rotary_dim}; }

Rope llama3(const Rope& rope, double factor, double high_freq_factor, std::int64_t original) {
  Rope out = plain(rope);
  out.scaling = RopeScaling::llama3;
  out.factor = factor;
  out.low_freq_factor = 1.0;
  out.high_freq_factor = high_freq_factor;
  out.original_max_position_embeddings = original;
  return out;
}

bool gives(const Rope& rope, const std::vector<float>& divisors) {
  if (!(rope.high_freq_factor > 1.0) || rope.original_max_position_embeddings < 1) return false;
  const std::vector<float> own = llama3_divisors(rope);
  return std::equal(own.begin(), own.end(), divisors.begin(), divisors.end(), [](float mine, float wanted) {
    return std::abs(static_cast<double>(mine) - static_cast<double>(wanted)) <= kRounding * static_cast<double>(wanted);
  });
}

// Between the two thresholds the blend, smooth = (original / wavelength - 1) / (high - 1), is linear in the frequency:
// a straight line through what the divisors say of it has both numbers.
std::optional<Rope> fitted(const Rope& rope, double factor) {
  const std::vector<float> frequencies = ops::rope_frequencies(plain(rope), 0);
  double count = 0, sum_x = 0, sum_y = 0, sum_xx = 0, sum_xy = 0;
  for (std::size_t i = 0; i < frequencies.size(); ++i) {
    const auto divisor = static_cast<double>(rope.frequency_factors[i]);
    if (divisor <= 1.0 + kRounding || divisor >= factor * (1.0 - kRounding)) continue;
    const double x = static_cast<double>(frequencies[i]) / (2.0 * std::numbers::pi);
    const double y = (1.0 / divisor - 1.0 / factor) / (1.0 - 1.0 / factor);
    count += 1, sum_x += x, sum_y += y, sum_xx += x * x, sum_xy += x * y;
  }
  const double spread = count * sum_xx - sum_x * sum_x;
  if (count < 2 || !(spread > 0)) return std::nullopt;
  const double slope = (count * sum_xy - sum_x * sum_y) / spread;
  const double start = (sum_y - slope * sum_x) / count;
  if (!(slope > 0) || !(start < 0)) return std::nullopt;
  const double high = std::round((1.0 - 1.0 / start) * 1000) / 1000;
  const double original = std::round(slope * (high - 1.0));
  if (!(original < 1e12)) return std::nullopt;
  return llama3(rope, factor, high, static_cast<std::int64_t>(original));
}

}  // namespace

std::vector<float> llama3_divisors(const Rope& rope) {
  std::vector<float> divisors = ops::rope_frequencies(plain(rope), 0);
  const std::vector<float> scaled = ops::rope_frequencies(rope, 0);
  for (std::size_t i = 0; i < divisors.size(); ++i) divisors[i] /= scaled[i];
  return divisors;
}

Rope with_llama3_named(const Rope& rope) {
  if (rope.frequency_factors.empty() || rope.scaling != RopeScaling::none) return rope;
  const auto largest = static_cast<double>(*std::ranges::max_element(rope.frequency_factors));
  const double whole = std::round(largest * 1000) / 1000;
  const double factor = std::abs(largest - whole) <= kRounding * whole ? whole : largest;
  if (!(factor > 1.0)) return rope;
  if (const auto fit = fitted(rope, factor); fit && gives(*fit, rope.frequency_factors)) return *fit;
  // Small heads have too few frequencies for a line: Meta's factors, with any usual length.
  for (std::int64_t original = 8; original <= 1 << 20; original *= 2) {
    Rope usual = llama3(rope, factor, 4.0, original);
    if (gives(usual, rope.frequency_factors)) return usual;
  }
  return rope;
}

}  // namespace powerhouse
