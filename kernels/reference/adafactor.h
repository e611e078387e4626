// Adafactor's passes over rows: the definition, in float64.
#pragma once

#include <cmath>

#include "kernels/cpu/kernels.h"

namespace powerhouse::reference {

static inline double adafactor_gradient(const cpu::AdafactorParams& p, std::int64_t i) {
  return static_cast<double>(p.grad_scale) * static_cast<double>(read_element(p.gradient, p.type, i));
}

/// Before clipping.
static inline double adafactor_step(const cpu::AdafactorParams& p, std::int64_t row, std::int64_t column) {
  return adafactor_gradient(p, row * p.columns + column) * static_cast<double>(p.row_factor[row]) *
         static_cast<double>(p.column_factor[column]);
}

static inline void adafactor_squares(const cpu::AdafactorParams& p, std::int64_t begin, std::int64_t end,
                                     double* column_sums, double* row_sums) {
  for (std::int64_t row = begin; row < end; ++row) {
    row_sums[row] = 0;
    for (std::int64_t i = 0; i < p.columns; ++i) {
      const double g = adafactor_gradient(p, row * p.columns + i);
      const double square = g * g + static_cast<double>(p.eps);
      column_sums[i] += square;
      row_sums[row] += square;
    }
  }
}

static inline double adafactor_size(const cpu::AdafactorParams& p, std::int64_t begin, std::int64_t end) {
  double sum = 0;
  for (std::int64_t row = begin; row < end; ++row) {
    for (std::int64_t i = 0; i < p.columns; ++i) sum += adafactor_step(p, row, i) * adafactor_step(p, row, i);
  }
  return sum;
}

static inline void adafactor_update(const cpu::AdafactorParams& p, std::int64_t begin, std::int64_t end) {
  for (std::int64_t row = begin; row < end; ++row) {
    for (std::int64_t i = 0; i < p.columns; ++i) {
      const std::int64_t at = row * p.columns + i;
      double u = adafactor_step(p, row, i) / static_cast<double>(p.divisor) * static_cast<double>(p.lr);
      if (p.average != nullptr) {
        u = static_cast<double>(p.average[at]) * static_cast<double>(p.keep) + static_cast<double>(p.fresh) * u;
        p.average[at] = static_cast<float>(u);
      }
      const auto w = static_cast<double>(read_element(p.weights, p.weight_type, at));
      const auto next = static_cast<float>(w - static_cast<double>(p.decay) * w - u);
      write_element(p.weights, p.weight_type, at, next);
      if (p.rounding != nullptr) write_element(p.rounding, p.type, at, next);
    }
  }
}

}  // namespace powerhouse::reference
