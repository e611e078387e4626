// Quantization to int8 by its textbook formulas, and LLM.int8(): of matrices of plain numbers, with what it costs.
//
// Models take int8 by BitsAndBytesConfig (causal_lm.h); this is for looking at the methods themselves.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "powerhouse/export.h"

namespace powerhouse {

/// What shares a scale: the whole matrix, a row, or `group_size` neighbours in a row.
enum class Int8Granularity { tensor, channel, group };

struct Int8Options {
  /// absmax: code = round(127 / max|x| * x), value = code / scale. With a zero point: scale = 255 / (max - min), the
  /// range being 1 where it is 0, zero = round(-scale * min - 128), code = clip(round(x * scale + zero), -128, 127),
  /// value = (code - zero) / scale. All in float32, halves rounded to even.
  bool zero_point = false;
  Int8Granularity granularity = Int8Granularity::tensor;
  std::int64_t group_size = 128;  ///< divides the columns
};

struct Int8Matrix {
  std::int64_t rows = 0, columns = 0;
  std::int64_t part = 0;             ///< elements that share a scale, neighbours in memory
  std::vector<std::int8_t> codes{};  ///< [rows, columns]
  std::vector<float> scales{};       ///< of each part: codes per unit; 0 where absmax finds nothing but zeros
  std::vector<float> zeros{};        ///< of each part; empty with absmax
};

/// `values` is [rows, columns]. Error{usage} for sizes that don't fit, Error{numeric} for NaN and infinity.
POWERHOUSE_API Int8Matrix quantize_int8(std::span<const float> values, std::int64_t rows, std::int64_t columns,
                                        const Int8Options& options = {});
/// [rows, columns].
POWERHOUSE_API std::vector<float> dequantize_int8(const Int8Matrix& matrix);

/// What a quantization lost.
struct QuantizationError {
  double mean_squared = 0;
  double relative = 0;  ///< root of the sum of squared errors over that of squared values; 0 of nothing but zeros
  double largest = 0;   ///< magnitude
};
/// Error{usage} for different sizes.
POWERHOUSE_API QuantizationError quantization_error(std::span<const float> values,
                                                    std::span<const float> approximation);

/// Rows of codes by their largest magnitudes, as bitsandbytes keeps weights for LLM.int8() (`weight` and `SCB`):
/// numbers are rounded to float16 first, then code = round(127 / absmax * x).
struct Int8Rows {
  std::int64_t rows = 0, columns = 0;
  std::vector<std::int8_t> codes{};  ///< [rows, columns]
  std::vector<float> absmax{};       ///< [rows]
};
POWERHOUSE_API Int8Rows quantize_int8_rows(std::span<const float> values, std::int64_t rows, std::int64_t columns);

/// The same of activations, whose columns with a magnitude of at least `threshold` (0: none) are kept out: their codes
/// are zero. `outliers` lists those columns, rising.
struct Int8Activations {
  Int8Rows rows{};
  std::vector<std::int64_t> outliers{};
};
POWERHOUSE_API Int8Activations quantize_int8_activations(std::span<const float> values, std::int64_t rows,
                                                         std::int64_t columns, float threshold = 6.0f);

/// LLM.int8() (Dettmers et al. 2022, arXiv 2208.07339): x [rows, columns] times the transpose of `weight` [outputs,
/// columns], in float32 [rows, outputs]. Products of codes are exact; columns of outliers are multiplied as they are.
/// Error{usage} for sizes that don't fit.
///
/// Models run int8 weights otherwise: by activations in codes of 15 bits, which need no outliers and lose less.
POWERHOUSE_API std::vector<float> int8_linear(std::span<const float> x, std::int64_t rows, const Int8Rows& weight,
                                              float threshold = 6.0f);

}  // namespace powerhouse
