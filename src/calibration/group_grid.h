// The grid of a group of weights: the scale and zero that its integer codes are read by.
#pragma once

#include <cstdint>

namespace powerhouse {

/// Which part of a group's range the codes are spread over; what lies beyond gets the first or last code.
enum class GridSearch {
  none,     ///< all of it
  mse,      ///< of 80 shares the one of least sum |error|^2.4 (GPTQ's Quantizer with mse)
  weighted  ///< of 17 shares, 1 to 0.2, the one of least sum cost error^2
};

/// How grids are found (GPTQ's Quantizer).
struct GridRule {
  int bits = 4;
  bool symmetric = true;  ///< zero in the middle of the codes
  GridSearch search = GridSearch::none;
  int least_zero = 0;        ///< 1 for a format that has no place for a zero of 0
  bool round_scales = true;  ///< to what float16 holds
  int largest() const { return (1 << bits) - 1; }
};

/// Grids of `count` rows whose weights stand in columns of `stride`: weight [c * stride + r] of row r, column c, for
/// `columns` columns, of which a weighted search reads `costs`, one a column. Rows of zeros get a scale of 1 over half
/// the codes. A range beyond float16 leaves an infinite scale, which callers look for.
void find_grids(const GridRule& rule, const float* weights, std::int64_t columns, std::int64_t stride,
                std::int64_t count, const float* costs, float* scales, float* zeros);

/// The code of each of `count` weights, and the value that it stands for.
void round_to_grids(int largest, const float* weights, const float* scales, const float* zeros, std::int64_t count,
                    float* codes, float* values);

}  // namespace powerhouse
