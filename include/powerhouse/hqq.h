// Half-quadratic quantization (Badri and Shaji 2023, "Half-Quadratic Quantization of Large Machine Learning Models"):
// groups of integers with a scale and a zero point of any value, found without calibration data.
//
// The zero points minimize |x - value|^p, p < 1, of which large errors cost little: outliers may be wrong. The problem
// is split in two by an auxiliary error e. In turns e = shrink(x - value) and the zero point is the mean of code - (x -
// e) * scale over its group, until the mean error of the whole matrix no longer falls.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "powerhouse/export.h"

namespace powerhouse {

struct HqqOptions {
  int bits = 4;                  ///< 1 to 8
  std::int64_t group_size = 64;  ///< neighbours in a row; divides the columns
  bool optimize = true;          ///< false: zero points by the range alone
  bool round_zero = false;       ///< those that the search begins with are whole numbers
  float norm = 0.7f;             ///< p, above 0, at most 1
  float beta = 10.0f;            ///< how strongly e is held to the error; above 0
  int iterations = 20;           ///< at most
};

/// value = (code - zero) * scale of its group.
struct HqqMatrix {
  std::int64_t rows = 0, columns = 0, group_size = 0;
  int bits = 0;
  std::vector<std::uint8_t> codes{};  ///< [rows, columns], one a byte
  std::vector<float> scales{};        ///< [rows, columns / group_size]
  std::vector<float> zeros{};         ///< the same
};

/// `values` is [rows, columns]. The numbers of the hqq package on a CPU (axis 1, float32), but for the order of sums.
/// Error{usage} for options and sizes that don't fit, Error{numeric} for NaN and infinity.
POWERHOUSE_API HqqMatrix quantize_hqq(std::span<const float> values, std::int64_t rows, std::int64_t columns,
                                      const HqqOptions& options = {});
/// [rows, columns].
POWERHOUSE_API std::vector<float> dequantize_hqq(const HqqMatrix& matrix);

}  // namespace powerhouse
