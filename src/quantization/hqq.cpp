#include "powerhouse/hqq.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include "powerhouse/error.h"
#include "support/thread_team.h"

namespace powerhouse {
namespace {

void check(std::span<const float> values, std::int64_t rows, std::int64_t columns, const HqqOptions& options) {
  const auto refuse = [](const char* field, const std::string& expected, const std::string& found) {
    throw Error(ErrorKind::usage, "no such half-quadratic quantization",
                {.field = field, .expected = expected, .found = found});
  };
  if (options.bits < 1 || options.bits > 8) refuse("bits", "1 to 8", std::to_string(options.bits));
  if (options.group_size < 1 || columns < 1 || columns % options.group_size != 0) {
    refuse("group_size", "a divisor of " + std::to_string(columns), std::to_string(options.group_size));
  }
  if (!(options.norm > 0 && options.norm <= 1)) refuse("norm", "above 0, at most 1", std::to_string(options.norm));
  if (!(options.beta > 0)) refuse("beta", "above 0", std::to_string(options.beta));
  const auto width = static_cast<std::size_t>(columns);
  if (rows < 1 || values.size() % width != 0 || values.size() / width != static_cast<std::size_t>(rows)) {
    refuse("values", std::to_string(rows) + " x " + std::to_string(columns), std::to_string(values.size()));
  }
  if (!std::all_of(values.begin(), values.end(), [](float value) { return std::isfinite(value); })) {
    throw Error(ErrorKind::numeric, "numbers that are not finite can't be quantized", {.field = "values"});
  }
}

// A group in progress: scales are codes per unit here.
struct Group {
  std::span<const float> x;
  float scale;
  float highest;

  float code(float value, float zero) const { return std::clamp(std::nearbyint(value * scale + zero), 0.0f, highest); }
};

// The magnitude that is left of an error, with its sign.
float shrink(float error, const HqqOptions& options) {
  const float magnitude = std::fabs(error);
  const float less = options.norm == 1 ? 1.0f : std::pow(magnitude, options.norm - 1);  // infinite at zero
  return std::copysign(std::max(0.0f, magnitude - 1.0f / options.beta * less), error);
}

// The group's next zero point, and the sum of its errors under this one.
float improve(const Group& group, float zero, const HqqOptions& options, double& error) {
  float sum = 0;
  for (const float x : group.x) {
    const float code = group.code(x, zero);
    const float lost = x - (code - zero) / group.scale;
    error += std::fabs(lost);
    sum += code - (x - shrink(lost, options)) * group.scale;
  }
  return sum / static_cast<float>(group.x.size());
}

}  // namespace

HqqMatrix quantize_hqq(std::span<const float> values, std::int64_t rows, std::int64_t columns,
                       const HqqOptions& options) {
  check(values, rows, columns, options);
  HqqMatrix matrix{.rows = rows, .columns = columns, .group_size = options.group_size, .bits = options.bits};
  const auto size = static_cast<std::size_t>(options.group_size);
  const std::size_t count = values.size() / size;
  const auto highest = static_cast<float>((1 << options.bits) - 1);
  std::vector<Group> groups(count);
  std::vector<float>& zeros = matrix.zeros;
  zeros.resize(count);
  for (std::size_t i = 0; i < count; ++i) {
    const auto x = values.subspan(i * size, size);
    const auto [low, high] = std::minmax_element(x.begin(), x.end());
    const float range = *high - *low;
    // Small ranges and large scales would leave float16, in which the package keeps them.
    const float scale = std::fabs(range) <= 1e-4f ? 1.0f : std::min(1.0f / range * highest, 2e4f);
    groups[i] = {x, scale, highest};
    zeros[i] = options.round_zero ? std::nearbyint(-*low * scale) : -*low * scale;
  }
  double best = std::numeric_limits<double>::infinity();
  std::vector<double> errors(count);
  for (int round = 0; options.optimize && round < options.iterations; ++round) {
    parallel_for(static_cast<std::int64_t>(count), 64, [&](std::int64_t begin, std::int64_t end) {
      for (auto i = static_cast<std::size_t>(begin); i < static_cast<std::size_t>(end); ++i) {
        errors[i] = 0;
        zeros[i] = improve(groups[i], zeros[i], options, errors[i]);
      }
    });
    double error = 0;
    for (const double one : errors) error += one;
    if (!(error < best)) break;
    best = error;
  }
  matrix.codes.resize(values.size());
  for (std::size_t i = 0; i < count; ++i) {
    matrix.scales.push_back(1.0f / groups[i].scale);
    for (std::size_t k = 0; k < size; ++k) {
      matrix.codes[i * size + k] = static_cast<std::uint8_t>(groups[i].code(groups[i].x[k], zeros[i]));
    }
  }
  return matrix;
}

std::vector<float> dequantize_hqq(const HqqMatrix& matrix) {
  std::vector<float> values(matrix.codes.size());
  for (std::size_t i = 0; i < values.size(); ++i) {
    const std::size_t group = i / static_cast<std::size_t>(matrix.group_size);
    values[i] = (static_cast<float>(matrix.codes[i]) - matrix.zeros[group]) * matrix.scales[group];
  }
  return values;
}

}  // namespace powerhouse
