// Adafactor's passes over rows. Each reads the gradient again instead of keeping it widened: its memory is read three
// times in its own type, which is less than once each way in float32.
#pragma once

#include <cstdint>

#include "kernels/cpu/adafactor_params.h"
#include "kernels/cpu/generic/math.h"
#include "kernels/cpu/generic/optimizer.h"

namespace powerhouse::cpu::POWERHOUSE_ISA_NAMESPACE {
namespace {

/// Calls body(i, count) for the vectors of a row, and flush() after runs so short that a lane's float32 sum of them
/// loses nothing that matters.
template <typename Body, typename Flush>
inline void for_row(std::int64_t columns, Body body, Flush flush) {
  constexpr std::int64_t kRun = 32 * kWidth;
  for (std::int64_t run = 0; run < columns; run += kRun) {
    const std::int64_t stop = smaller(columns, run + kRun);
    std::int64_t i = run;
    for (; i + kWidth <= stop; i += kWidth) body(i, kWidth);
    if (i < stop) body(i, lanes(stop, i));
    flush();
  }
}

void adafactor_squares(const AdafactorParams& p, std::int64_t begin, std::int64_t end, float* column_sums,
                       double* row_sums) {
  visit(p.type, [&](auto tag) {
    const Vec scale = broadcast(p.grad_scale), eps = broadcast(p.eps);
    for (std::int64_t row = begin; row < end; ++row) {
      const auto* const gradient = static_cast<const typename decltype(tag)::Type*>(p.gradient) + row * p.columns;
      Vec sum = zero();
      double total = 0;
      for_row(
          p.columns,
          [&](std::int64_t i, int count) {
            prefetch_stream<kWidth>(gradient + i);
            const Vec g = mul(read(gradient + i, count), scale);
            const Vec square = add(mul(g, g), eps);
            write(column_sums + i, add(read(column_sums + i, count), square), count);
            sum = add(sum, keep_first(square, count, 0));
          },
          [&] {
            total += static_cast<double>(reduce_add(sum));
            sum = zero();
          });
      row_sums[row] = total;
    }
  });
}

double adafactor_size(const AdafactorParams& p, std::int64_t begin, std::int64_t end) {
  double total = 0;
  visit(p.type, [&](auto tag) {
    const Vec scale = broadcast(p.grad_scale);
    for (std::int64_t row = begin; row < end; ++row) {
      const auto* const gradient = static_cast<const typename decltype(tag)::Type*>(p.gradient) + row * p.columns;
      const Vec of_row = broadcast(p.row_factor[row]);
      Vec sum = zero();
      for_row(
          p.columns,
          [&](std::int64_t i, int count) {
            prefetch_stream<kWidth>(gradient + i);
            const Vec g = mul(read(gradient + i, count), scale);
            const Vec u = mul(g, mul(of_row, read(p.column_factor + i, count)));
            sum = fma(u, u, sum);
          },
          [&] {
            total += static_cast<double>(reduce_add(sum));
            sum = zero();
          });
    }
  });
  return total;
}

/// One row; W is the type of the weights.
template <typename T, typename W>
inline void adafactor_row(const AdafactorParams& p, std::int64_t row) {
  const Vec scale = broadcast(p.grad_scale), of_row = broadcast(p.row_factor[row]);
  const Vec divisor = broadcast(p.divisor), lr = broadcast(p.lr), decay = broadcast(p.decay);
  const Vec keep = broadcast(p.keep), fresh = broadcast(p.fresh);
  const std::int64_t first = row * p.columns;
  const T* const gradient = static_cast<const T*>(p.gradient) + first;
  W* const weights = static_cast<W*>(p.weights) + first;
  T* const rounding = at_element<T>(p.rounding, first);
  float* const average = at_element<float>(p.average, first);
  const auto step = [&](std::int64_t i, int count) {
    prefetch_stream<kWidth>(gradient + i);
    prefetch_stream<kWidth>(weights + i);
    const Vec g = mul(read(gradient + i, count), scale);
    Vec u = mul(div(mul(g, mul(of_row, read(p.column_factor + i, count))), divisor), lr);
    if (average != nullptr) {
      prefetch_stream<kWidth>(average + i);
      u = add(mul(read(average + i, count), keep), mul(fresh, u));
      write(average + i, u, count);
    }
    const Vec old = read(weights + i, count);
    const Vec w = sub(sub(old, mul(decay, old)), u);
    write(weights + i, w, count);
    if (rounding != nullptr) write(rounding + i, w, count);
  };
  for_row(p.columns, step, [] {});
}

void adafactor_update(const AdafactorParams& p, std::int64_t begin, std::int64_t end) {
  visit(p.type, [&](auto tag) {
    using T = typename decltype(tag)::Type;
    for (std::int64_t row = begin; row < end; ++row) {
      if (p.weight_type == Element::f32) {
        adafactor_row<T, float>(p, row);
      } else {
        adafactor_row<T, T>(p, row);
      }
    }
  });
}

}  // namespace
}  // namespace powerhouse::cpu::POWERHOUSE_ISA_NAMESPACE
