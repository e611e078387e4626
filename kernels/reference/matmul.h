// Sums of matrix products: the definition, summed in float64.
#pragma once

#include <algorithm>

#include "kernels/cpu/kernels.h"

namespace powerhouse::reference {

static inline void matmul(const cpu::MatmulParams& params, std::int64_t item) {
  const auto element = [](const cpu::MatmulSide& side, std::int64_t i, std::int64_t k) {
    return static_cast<double>(read_element(side.data, Element::bf16, i * side.stride + k * side.k_stride));
  };
  const std::int64_t row_items = (params.rows + params.row_block - 1) / params.row_block;
  const std::int64_t row = item % row_items * params.row_block;
  const std::int64_t column = item / row_items * params.column_block;
  for (std::int64_t m = row; m < std::min(params.rows, row + params.row_block); ++m) {
    for (std::int64_t n = column; n < std::min(params.columns, column + params.column_block); ++n) {
      double sum = 0.0;
      for (int t = 0; t < params.term_count; ++t) {
        const cpu::MatmulTerm& term = params.terms[t];
        for (std::int64_t k = 0; k < term.depth; ++k) sum += element(term.a, m, k) * element(term.b, n, k);
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
