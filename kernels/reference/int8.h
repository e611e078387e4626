// Quantization to int8 as bitsandbytes 0.50 does it on a CPU for LLM.int8() (Dettmers et al. 2022, arXiv 2208.07339),
// to the byte: a row's largest magnitude stands for 127. Numbers are rounded to float16 first, as bitsandbytes has
// them.
#pragma once

#include <cstdint>

namespace powerhouse {

/// Codes of a matrix's rows [rows, columns], rounded to the nearest, halves to even, and the largest magnitude of each.
/// Rows of zeros have codes of zero. False where a number is NaN, or is infinite in float16.
bool int8_row_codes(const float* values, std::int64_t rows, std::int64_t columns, std::int8_t* codes,
                    float* absmax) noexcept;

/// The same of activations: magnitudes of at least `threshold` (0: none) are outliers, left out of their row's largest
/// magnitude, and their whole columns, which `outliers` [columns] marks, have codes of zero.
bool int8_activation_codes(const float* values, std::int64_t rows, std::int64_t columns, float threshold,
                           std::int8_t* codes, float* absmax, bool* outliers) noexcept;

/// y[r, o] = sum of codes * codes, times both largest magnitudes and 1 / 127^2 as bitsandbytes rounds it, plus the
/// columns of outliers in float32: x, rounded to float16 nowhere, times the weights' dequantized columns.
struct Int8Product {
  const float* x = nullptr;  ///< [rows, columns]
  const std::int8_t* x_codes = nullptr;
  const float* x_absmax = nullptr;       ///< [rows]
  const bool* outliers = nullptr;        ///< [columns]
  const std::int8_t* weights = nullptr;  ///< [outputs, columns]
  const float* weight_absmax = nullptr;  ///< [outputs]
  float* y = nullptr;                    ///< [rows, outputs]
  std::int64_t columns = 0, outputs = 0;
};
/// Rows [begin, end).
void int8_product(const Int8Product& product, std::int64_t begin, std::int64_t end) noexcept;

}  // namespace powerhouse
