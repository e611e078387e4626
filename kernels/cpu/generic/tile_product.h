// The inner loop of products of tiles: a few rows by a few vectors of sums in registers, float32 or pairs of bf16.
#pragma once

#include <cstdint>

#include "kernels/cpu/generic/math.h"

namespace powerhouse::cpu::POWERHOUSE_ISA_NAMESPACE {
namespace {

/// Operands of products are float32, or bf16 in pairs: the elements that one multiplication takes.
template <typename Lane>
constexpr int kLanePack = static_cast<int>(sizeof(float) / sizeof(Lane));

/// Calls finish(i, j, sum) with sum_k a[i, k] b[k, j] of kRows rows i and kVectors vectors j. Row i of `a` begins
/// i * a_row elements from it, and k steps by a_step; rows of `b` lie b_stride apart. With pairs, k counts them and a
/// product is a sum of two.
template <int kRows, int kVectors, typename Lane, typename Finish>
inline __attribute__((always_inline)) void tile_product(const Lane* a, std::int64_t a_row, std::int64_t a_step,
                                                        const Lane* b, std::int64_t b_stride, std::int64_t depth,
                                                        Finish finish) {
  Vec sum[kRows][kVectors];
  for (auto& row : sum) {
    for (Vec& vector : row) vector = zero();
  }
  for (std::int64_t k = 0; k < depth; ++k) {
    typename Dot<Lane>::Register row[kVectors];
    for (int j = 0; j < kVectors; ++j) row[j] = Dot<Lane>::read(b + k * b_stride + j * Dot<Lane>::kStep);
    for (int i = 0; i < kRows; ++i) {
      const auto factor = Dot<Lane>::repeat(a + i * a_row + k * a_step);
      for (int j = 0; j < kVectors; ++j) sum[i][j] = Dot<Lane>::accumulate(sum[i][j], factor, row[j]);
    }
  }
  for (int i = 0; i < kRows; ++i) {
    for (int j = 0; j < kVectors; ++j) finish(i, j, sum[i][j]);
  }
}

/// The same for 4 rows and all of the `columns`, a multiple of kWidth, that `b` has: finish(i, column, sum).
template <typename Lane, typename Finish>
inline __attribute__((always_inline)) void tile_rows(const Lane* a, std::int64_t a_row, std::int64_t a_step,
                                                     const Lane* b, std::int64_t columns, std::int64_t depth,
                                                     Finish finish) {
  constexpr int kPack = kLanePack<Lane>;
  constexpr int kVectors = kRegisters / 8;  // by 4 sums each, half the registers
  std::int64_t column = 0;
  const auto here = [&](int i, int j, Vec sum) __attribute__((always_inline)) { finish(i, column + j * kWidth, sum); };
  for (; column + kVectors * kWidth <= columns; column += kVectors * kWidth) {
    tile_product<4, kVectors>(a, a_row, a_step, b + column * kPack, columns * kPack, depth, here);
  }
  for (; column < columns; column += kWidth) {
    tile_product<4, 1>(a, a_row, a_step, b + column * kPack, columns * kPack, depth, here);
  }
}

/// As an operand of products.
template <typename Lane>
inline void store_as(Lane* to, Vec value) {
  if constexpr (kLanePack<Lane> == 1) {
    store(to, value);
  } else {
    store_operand(to, value);
  }
}

}  // namespace
}  // namespace powerhouse::cpu::POWERHOUSE_ISA_NAMESPACE
