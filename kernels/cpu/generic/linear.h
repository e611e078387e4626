// y = x W^T + b for few rows: at decode it is bound by reading W once.
//
// One (row, feature) dot product goes through Dot<T>::kChains vector accumulators in order of k and one fixed tree at
// the end, whatever the block around it: a row's bits do not depend on its neighbours.
// W is prefetched in order by the first rows that read it. One or two rows take one feature after the
// other (four or eight rows of W side by side halve the speed on Zen 4); four are bound by arithmetic and take several
// at once.
#pragma once

#include <cstdint>

#include "kernels/cpu/generic/math.h"
#include "kernels/cpu/kernels.h"

namespace powerhouse::cpu::POWERHOUSE_ISA_NAMESPACE {
namespace {

constexpr int kGroup = 4;  // features whose sums are reduced together

/// Rows in float32 whatever the type of the weights, which are widened.
template <typename T>
struct WideDot {
  using Register = Vec;
  static constexpr int kStep = kWidth;
  static constexpr int kChains = 2;
  template <typename From>
  static Register read(const From* from) {
    return load(from);
  }
  template <typename From>
  static Register read_first(const From* from, int count) {
    return load_first(from, count);
  }
  static Vec accumulate(Vec sum, Register a, Register b) { return fma(a, b, sum); }
};
template <typename X, typename T>
struct ReaderOf {
  using Type = WideDot<T>;
};
template <typename T>
struct ReaderOf<T, T> {
  using Type = Dot<T>;
};
template <typename X, typename T>
using Reader = typename ReaderOf<X, T>::Type;

/// totals[row * kGroup + feature] = the accumulators of kRows x kFeatures dot products, not yet summed over lanes.
template <typename X, typename T, int kRows, int kFeatures, bool kPrefetch>
inline void dot_block(const X* x, std::int64_t x_stride, const T* weight, std::int64_t weight_stride,
                      std::int64_t inputs, Vec* totals) {
  using Reading = Reader<X, T>;
  using Register = typename Reading::Register;
  constexpr int kStep = Reading::kStep;
  constexpr int kChains = Reading::kChains;
  Vec sum[kRows][kFeatures][kChains];
  for (auto& row : sum) {
    for (auto& feature : row) {
      for (Vec& chain : feature) chain = zero();
    }
  }

  const auto step = [&](std::int64_t k, int chain, auto read_part) __attribute__((always_inline)) {
    Register w[kFeatures];
    for (int n = 0; n < kFeatures; ++n) w[n] = read_part(weight + n * weight_stride + k);
    for (int m = 0; m < kRows; ++m) {
      const Register row = read_part(x + m * x_stride + k);
      for (int n = 0; n < kFeatures; ++n) sum[m][n][chain] = Reading::accumulate(sum[m][n][chain], row, w[n]);
    }
  };
  const auto whole = [](const auto* from) __attribute__((always_inline)) { return Reading::read(from); };

  const char* read = reinterpret_cast<const char*>(weight);
  constexpr auto kBytes = static_cast<std::int64_t>(kFeatures * kChains * kStep * sizeof(T));
  std::int64_t k = 0;
  for (; k + kChains * kStep <= inputs; k += kChains * kStep) {
    for (int chain = 0; chain < kChains; ++chain) step(k + chain * kStep, chain, whole);
    if constexpr (kPrefetch) {
      prefetch_weights<kBytes>(read);
      read += kBytes;
    }
  }
  for (; k + kStep <= inputs; k += kStep) step(k, 0, whole);
  if (k < inputs) {
    const int rest = static_cast<int>(inputs - k);
    step(k, 0, [rest](const auto* from) { return Reading::read_first(from, rest); });
  }

  for (int m = 0; m < kRows; ++m) {
    for (int n = 0; n < kFeatures; ++n) {
      Vec total = sum[m][n][0];
      for (int chain = 1; chain < kChains; ++chain) total = add(total, sum[m][n][chain]);
      totals[m * kGroup + n] = total;
    }
  }
}

/// kRows rows of x by kCount features from n, kFeatures side by side.
template <typename X, typename T, typename Y, int kRows, int kFeatures, int kCount, bool kPrefetch>
inline void linear_group(const LinearParams& params, std::int64_t m, std::int64_t n) {
  const X* const x = static_cast<const X*>(params.x) + m * params.x_stride;
  const T* const weight = static_cast<const T*>(params.weight) + n * params.weight_stride;
  Vec totals[kRows * kGroup];
  if constexpr (kCount < kGroup) {
    for (Vec& total : totals) total = zero();
  }
  for (int j = 0; j < kCount; j += kFeatures) {
    dot_block<X, T, kRows, kFeatures, kPrefetch>(x, params.x_stride, weight + j * params.weight_stride,
                                                 params.weight_stride, params.inputs, totals + j);
  }
  const T* const bias = static_cast<const T*>(params.bias);
  for (int i = 0; i < kRows; ++i) {
    const Vec* const row = totals + i * kGroup;
    float sums[kGroup];
    reduce_add4(row[0], row[1], row[2], row[3], sums);
    Y* const y = static_cast<Y*>(params.y) + (m + i) * params.y_stride + n;
    if (bias != nullptr) {
      for (int f = 0; f < kCount; ++f) sums[f] += to_float(bias[n + f]);
    }
    for (int f = 0; f < kCount; ++f) from_float(sums[f], y[f]);
  }
}

template <typename X, typename T, typename Y, int kRows, int kFeatures, bool kPrefetch>
inline void linear_rows(const LinearParams& params, std::int64_t m, std::int64_t begin, std::int64_t end) {
  std::int64_t n = begin;
  for (; n + kGroup <= end; n += kGroup) linear_group<X, T, Y, kRows, kFeatures, kGroup, kPrefetch>(params, m, n);
  for (; n < end; ++n) linear_group<X, T, Y, kRows, 1, 1, false>(params, m, n);
}

/// All rows of x against the features [begin, end): a few, which stay in cache meanwhile.
template <typename X, typename T, typename Y>
inline void linear_features(const LinearParams& params, std::int64_t begin, std::int64_t end) {
  // Half the registers hold sums: more would spill, fewer would load more than they multiply.
  constexpr int kWide = kRegisters / 2 / (4 * Reader<X, T>::kChains);
  static_assert(kGroup % kWide == 0);
  std::int64_t m = 0;
  const auto rows = [&]<int kRows, int kFeatures>() {
    if (m == 0) {
      linear_rows<X, T, Y, kRows, kFeatures, true>(params, m, begin, end);
    } else {
      linear_rows<X, T, Y, kRows, kFeatures, false>(params, m, begin, end);
    }
    m += kRows;
  };
  while (m + 4 <= params.rows) rows.template operator()<4, kWide>();
  if (m + 2 <= params.rows) rows.template operator()<2, 1>();
  if (m < params.rows) rows.template operator()<1, 1>();
}

void linear(const LinearParams& params, std::int64_t begin, std::int64_t end) {
  visit(params.type, [&](auto tag) {
    using T = typename decltype(tag)::Type;
    for (std::int64_t n = begin; n < end; n += kLinearGrain) {
      const std::int64_t stop = smaller(end, n + kLinearGrain);
      if (params.wide_x) {
        linear_features<float, T, float>(params, n, stop);
      } else if (params.y_type == params.type) {
        linear_features<T, T, T>(params, n, stop);
      } else {
        linear_features<T, T, float>(params, n, stop);
      }
    }
  });
}

}  // namespace
}  // namespace powerhouse::cpu::POWERHOUSE_ISA_NAMESPACE
