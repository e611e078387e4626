// Sums of matrix products: the definition, summed in float64; of the elements, or of what they are as integers
// (kernels/cpu/generic/matmul_integers.h).
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <vector>

#include "kernels/cpu/kernels.h"

namespace powerhouse::reference {

static inline double matmul_element(const cpu::MatmulSide& side, std::int64_t i, std::int64_t k) {
  return static_cast<double>(read_element(side.data, Element::bf16, i * side.stride + k * side.k_stride));
}

/// 2^-12 of the power of two of the largest of the 32 neighbours along k; 0 where they are all zero.
static inline double matmul_unit(const cpu::MatmulSide& side, std::int64_t i, std::int64_t k, std::int64_t depth) {
  double largest = 0.0;
  for (std::int64_t at = k / 32 * 32; at < std::min(depth, k / 32 * 32 + 32); ++at) {
    largest = std::max(largest, std::abs(matmul_element(side, i, at)));
  }
  return largest == 0.0 ? 0.0 : std::ldexp(1.0, std::ilogb(largest) - 12);
}

/// A row's elements, or the nearest whole numbers of units, halves away from zero.
static inline std::vector<double> matmul_row(const cpu::MatmulSide& side, std::int64_t i, std::int64_t depth,
                                             bool in_integers) {
  std::vector<double> row(static_cast<std::size_t>(depth));
  double unit = 0.0;
  for (std::int64_t k = 0; k < depth; ++k) {
    double& element = row[static_cast<std::size_t>(k)];
    element = matmul_element(side, i, k);
    if (!in_integers) continue;
    if (k % 32 == 0) unit = matmul_unit(side, i, k, depth);
    element = unit == 0.0 ? 0.0 : std::round(element / unit) * unit;
  }
  return row;
}

static inline void matmul(const cpu::MatmulParams& params, std::int64_t item, bool in_integers = false) {
  const std::int64_t row_items = (params.rows + params.row_block - 1) / params.row_block;
  const std::int64_t row = item % row_items * params.row_block;
  const std::int64_t column = item / row_items * params.column_block;
  std::vector<std::vector<double>> b_rows;  // of each column, all terms
  for (std::int64_t n = column; n < std::min(params.columns, column + params.column_block); ++n) {
    for (int t = 0; t < params.term_count; ++t) {
      b_rows.push_back(matmul_row(params.terms[t].b, n, params.terms[t].depth, in_integers));
    }
  }
  for (std::int64_t m = row; m < std::min(params.rows, row + params.row_block); ++m) {
    std::vector<std::vector<double>> a_rows;
    for (int t = 0; t < params.term_count; ++t) {
      a_rows.push_back(matmul_row(params.terms[t].a, m, params.terms[t].depth, in_integers));
    }
    auto b_row = b_rows.begin();
    for (std::int64_t n = column; n < std::min(params.columns, column + params.column_block); ++n) {
      double sum = 0.0;
      for (int t = 0; t < params.term_count; ++t) {
        const std::vector<double>& a_row = a_rows[static_cast<std::size_t>(t)];
        sum = std::inner_product(a_row.begin(), a_row.end(), (b_row++)->begin(), sum);
      }
      sum *= static_cast<double>(params.scale);
      if (params.bias != nullptr) sum += static_cast<double>(params.bias[n]);
      const std::int64_t at = m * params.y_stride + n;
      if (params.add) sum += static_cast<double>(read_element(params.y, params.y_type, at));
      write_element(params.y, params.y_type, at, static_cast<float>(sum));
    }
  }
}

}  // namespace powerhouse::reference
