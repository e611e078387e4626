#include "kernels/reference/int8.h"

#include <cmath>

#include "kernels/common/element.h"
#include "kernels/common/four_bit.h"

namespace powerhouse {
namespace {

constexpr float kProductStep = 6.200124e-05f;  // bitsandbytes' 1 / 127^2

float in_float16(float value) { return round_element(value, Element::f16); }

// PyTorch divides a number by a tensor in these two steps.
float codes_per_unit(float largest) { return largest > 0 ? 1.0f / largest * 127.0f : 0.0f; }

// Of one row. A magnitude that reaches the threshold (0: none does) gets no code, and its column is marked.
bool row_codes(const float* row, std::int64_t columns, float threshold, std::int8_t* codes, float& absmax,
               bool* outliers) {
  const auto is_outlier = [threshold](float value) { return threshold > 0 && std::fabs(value) >= threshold; };
  absmax = 0;
  for (std::int64_t c = 0; c < columns; ++c) {
    const float value = in_float16(row[c]);
    if (!std::isfinite(value)) return false;
    if (is_outlier(value)) {
      outliers[c] = true;
    } else {
      absmax = std::fmax(absmax, std::fabs(value));
    }
  }
  const float scale = codes_per_unit(absmax);
  for (std::int64_t c = 0; c < columns; ++c) {
    const float value = in_float16(row[c]);
    const float code = is_outlier(value) ? 0.0f : std::nearbyint(value * scale);
    codes[c] = static_cast<std::int8_t>(static_cast<int>(code));
  }
  return true;
}

}  // namespace

bool int8_activation_codes(const float* values, std::int64_t rows, std::int64_t columns, float threshold,
                           std::int8_t* codes, float* absmax, bool* outliers) noexcept {
  for (std::int64_t c = 0; c < columns; ++c) outliers[c] = false;
  for (std::int64_t r = 0; r < rows; ++r) {
    if (!row_codes(values + r * columns, columns, threshold, codes + r * columns, absmax[r], outliers)) return false;
  }
  // An outlier of one row takes its column from all.
  for (std::int64_t c = 0; c < columns; ++c) {
    for (std::int64_t r = 0; r < rows && outliers[c]; ++r) codes[r * columns + c] = 0;
  }
  return true;
}

bool int8_row_codes(const float* values, std::int64_t rows, std::int64_t columns, std::int8_t* codes,
                    float* absmax) noexcept {
  for (std::int64_t r = 0; r < rows; ++r) {
    if (!row_codes(values + r * columns, columns, 0, codes + r * columns, absmax[r], nullptr)) return false;
  }
  return true;
}

void int8_product(const Int8Product& product, std::int64_t begin, std::int64_t end) noexcept {
  const std::int64_t columns = product.columns;
  for (std::int64_t r = begin; r < end; ++r) {
    for (std::int64_t o = 0; o < product.outputs; ++o) {
      const std::int8_t* const x = product.x_codes + r * columns;
      const std::int8_t* const w = product.weights + o * columns;
      std::int32_t sum = 0;
      for (std::int64_t c = 0; c < columns; ++c) sum += std::int32_t{x[c]} * std::int32_t{w[c]};
      const float step = product.x_absmax[r] * product.weight_absmax[o];
      float y = static_cast<float>(sum) * step * kProductStep;
      for (std::int64_t c = 0; c < columns; ++c) {
        if (!product.outliers[c]) continue;
        y += product.x[r * columns + c] * (static_cast<float>(w[c]) * product.weight_absmax[o] * kInt8Step);
      }
      product.y[r * product.outputs + o] = y;
    }
  }
}

}  // namespace powerhouse
