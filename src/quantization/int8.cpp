#include "powerhouse/int8.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <string>

#include "kernels/reference/int8.h"
#include "powerhouse/error.h"
#include "support/thread_team.h"

namespace powerhouse {
namespace {

void check_sizes(std::size_t values, std::int64_t rows, std::int64_t columns) {
  const bool fits = rows > 0 && columns > 0 &&
                    values / static_cast<std::size_t>(columns) == static_cast<std::size_t>(rows) &&
                    values % static_cast<std::size_t>(columns) == 0;
  if (fits) return;
  throw Error(ErrorKind::usage, "not a matrix of this size",
              {.field = "values",
               .expected = std::to_string(rows) + " x " + std::to_string(columns),
               .found = std::to_string(values)});
}

[[noreturn]] void refuse_not_finite() {
  throw Error(ErrorKind::numeric, "numbers that are not finite (in float16, for LLM.int8) have no codes",
              {.field = "values"});
}

std::int64_t part_of(std::int64_t rows, std::int64_t columns, const Int8Options& options) {
  switch (options.granularity) {
    case Int8Granularity::tensor: return rows * columns;
    case Int8Granularity::channel: return columns;
    case Int8Granularity::group: break;
  }
  if (options.group_size < 1 || columns % options.group_size != 0) {
    throw Error(ErrorKind::usage, "groups don't divide the columns",
                {.field = "group_size",
                 .expected = "a divisor of " + std::to_string(columns),
                 .found = std::to_string(options.group_size)});
  }
  return options.group_size;
}

std::int8_t code_of(float value) { return static_cast<std::int8_t>(static_cast<int>(value)); }

void by_largest(std::span<const float> x, std::int8_t* codes, float& scale) {
  float largest = 0;
  for (const float value : x) largest = std::max(largest, std::fabs(value));
  scale = largest > 0 ? 1 / largest * 127 : 0.0f;  // in the two steps that PyTorch divides by a tensor in
  // Numbers so small that the scale overflows are zeros.
  if (!std::isfinite(scale)) scale = 0;
  for (std::size_t i = 0; i < x.size(); ++i) codes[i] = code_of(std::nearbyint(scale * x[i]));
}

void by_range(std::span<const float> x, std::int8_t* codes, float& scale, float& zero) {
  const auto [low, high] = std::minmax_element(x.begin(), x.end());
  float range = *high - *low;
  if (range == 0) range = 1;
  scale = 1 / range * 255;
  zero = std::nearbyint(-scale * *low - 128);
  for (std::size_t i = 0; i < x.size(); ++i) {
    codes[i] = code_of(std::clamp(std::nearbyint(x[i] * scale + zero), -128.0f, 127.0f));
  }
}

}  // namespace

Int8Matrix quantize_int8(std::span<const float> values, std::int64_t rows, std::int64_t columns,
                         const Int8Options& options) {
  check_sizes(values.size(), rows, columns);
  if (!std::all_of(values.begin(), values.end(), [](float value) { return std::isfinite(value); })) refuse_not_finite();
  Int8Matrix matrix{.rows = rows, .columns = columns, .part = part_of(rows, columns, options)};
  const auto part = static_cast<std::size_t>(matrix.part);
  const std::size_t parts = values.size() / part;
  matrix.codes.resize(values.size());
  matrix.scales.resize(parts);
  if (options.zero_point) matrix.zeros.resize(parts);
  for (std::size_t i = 0; i < parts; ++i) {
    const auto x = values.subspan(i * part, part);
    std::int8_t* const codes = matrix.codes.data() + i * part;
    if (options.zero_point) {
      by_range(x, codes, matrix.scales[i], matrix.zeros[i]);
      if (!std::isfinite(matrix.scales[i]) || !std::isfinite(matrix.zeros[i])) {
        throw Error(ErrorKind::numeric, "a range that float32 can't say", {.field = "values"});
      }
    } else {
      by_largest(x, codes, matrix.scales[i]);
    }
  }
  return matrix;
}

std::vector<float> dequantize_int8(const Int8Matrix& matrix) {
  std::vector<float> values(matrix.codes.size());
  for (std::size_t i = 0; i < values.size(); ++i) {
    const std::size_t part = i / static_cast<std::size_t>(matrix.part);
    const float zero = matrix.zeros.empty() ? 0.0f : matrix.zeros[part];
    if (matrix.scales[part] != 0) values[i] = (static_cast<float>(matrix.codes[i]) - zero) / matrix.scales[part];
  }
  return values;
}

QuantizationError quantization_error(std::span<const float> values, std::span<const float> approximation) {
  if (values.size() != approximation.size()) {
    throw Error(ErrorKind::usage, "different sizes",
                {.field = "approximation",
                 .expected = std::to_string(values.size()),
                 .found = std::to_string(approximation.size())});
  }
  double errors = 0, squares = 0, largest = 0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    const double error = double{values[i]} - double{approximation[i]};
    errors += error * error;
    squares += double{values[i]} * double{values[i]};
    largest = std::max(largest, std::abs(error));
  }
  return {.mean_squared = values.empty() ? 0 : errors / static_cast<double>(values.size()),
          .relative = squares > 0 ? std::sqrt(errors / squares) : 0,
          .largest = largest};
}

Int8Rows quantize_int8_rows(std::span<const float> values, std::int64_t rows, std::int64_t columns) {
  check_sizes(values.size(), rows, columns);
  Int8Rows out{.rows = rows, .columns = columns};
  out.codes.resize(values.size());
  out.absmax.resize(static_cast<std::size_t>(rows));
  if (!int8_row_codes(values.data(), rows, columns, out.codes.data(), out.absmax.data())) refuse_not_finite();
  return out;
}

Int8Activations quantize_int8_activations(std::span<const float> values, std::int64_t rows, std::int64_t columns,
                                          float threshold) {
  check_sizes(values.size(), rows, columns);
  Int8Activations out{.rows = {.rows = rows, .columns = columns}};
  out.rows.codes.resize(values.size());
  out.rows.absmax.resize(static_cast<std::size_t>(rows));
  const auto marks = std::make_unique<bool[]>(static_cast<std::size_t>(columns));
  if (!int8_activation_codes(values.data(), rows, columns, threshold, out.rows.codes.data(), out.rows.absmax.data(),
                             marks.get())) {
    refuse_not_finite();
  }
  for (std::int64_t c = 0; c < columns; ++c) {
    if (marks[static_cast<std::size_t>(c)]) out.outliers.push_back(c);
  }
  return out;
}

std::vector<float> int8_linear(std::span<const float> x, std::int64_t rows, const Int8Rows& weight, float threshold) {
  check_sizes(weight.codes.size(), weight.rows, weight.columns);
  const Int8Activations activations = quantize_int8_activations(x, rows, weight.columns, threshold);
  std::vector<float> y(static_cast<std::size_t>(rows * weight.rows));
  const auto marks = std::make_unique<bool[]>(static_cast<std::size_t>(weight.columns));
  for (const std::int64_t column : activations.outliers) marks[static_cast<std::size_t>(column)] = true;
  const Int8Product product{.x = x.data(),
                            .x_codes = activations.rows.codes.data(),
                            .x_absmax = activations.rows.absmax.data(),
                            .outliers = marks.get(),
                            .weights = weight.codes.data(),
                            .weight_absmax = weight.absmax.data(),
                            .y = y.data(),
                            .columns = weight.columns,
                            .outputs = weight.rows};
  parallel_for(rows, 1, [&](std::int64_t begin, std::int64_t end) { int8_product(product, begin, end); });
  return y;
}

}  // namespace powerhouse
