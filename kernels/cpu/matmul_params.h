// What the matrix product of training is told; part of kernels.h, whose rules hold here.
#pragma once

#include <cstdint>

#include "kernels/common/element.h"

namespace powerhouse::cpu {

/// A bf16 matrix whose element (i, k) is summed over k; one of the strides is 1. Every transposition is one.
struct MatmulSide {
  const void* data = nullptr;
  std::int64_t stride = 0;    ///< from i to i + 1
  std::int64_t k_stride = 0;  ///< from k to k + 1
};

/// The sum over k in [0, depth) of a(m, k) * b(n, k).
struct MatmulTerm {
  MatmulSide a{};
  MatmulSide b{};
  std::int64_t depth = 0;
};

/// y[m, n] = scale * (the sum of all terms) + bias[n], or added to what y holds. Summed in float32, rounded once: of a
/// bf16 y the depths may add up to kMatmulDepth, of a float32 y to anything. Work items: blocks of row_block rows and
/// column_block columns, those of the same columns one behind the other.
struct MatmulParams {
  const MatmulTerm* terms = nullptr;
  int term_count = 0;              ///< up to kMatmulTerms
  Element y_type = Element::bf16;  ///< or f32
  void* y = nullptr;               ///< [rows, columns]
  const float* bias = nullptr;     ///< [columns], or null
  std::int64_t rows = 0;
  std::int64_t columns = 0;
  std::int64_t y_stride = 0;
  std::int64_t row_block = 0;     ///< a multiple of 16
  std::int64_t column_block = 0;  ///< a multiple of 48 within matmul_most_columns()
  float scale = 1.0f;
  bool add = false;
};
static constexpr int kMatmulTerms = 8;
static constexpr std::int64_t kMatmulDepth = 4096;
static constexpr std::int64_t kMatmulPass = 1024;  ///< of k, which a float32 y takes at once

/// A thread's scratch. It keeps the columns of B that its last item packed: the next items may need the same.
struct MatmulRoom {
  float* scratch = nullptr;  ///< kMatmulScratchFloats, on a cache line
  std::int64_t packed = -1;  ///< the block of columns
};
static constexpr std::int64_t kMatmulBytesOfA = 384 << 10;
static constexpr std::int64_t kMatmulBytesOfB = 1280 << 10;
static constexpr std::int64_t kMatmulScratchFloats = (kMatmulBytesOfA + kMatmulBytesOfB) / 4;

/// What a table's `matmul` makes of bf16 before it multiplies: float32, nothing, or 16-bit integers with a unit for
/// each 32 elements of a row (generic/matmul_integers.h).
enum class MatmulForm { f32, bf16, integers };

/// The most columns of a block whose terms' depths add up to `depth`.
constexpr std::int64_t matmul_most_columns(std::int64_t depth, MatmulForm form) {
  constexpr std::int64_t kUnit = 48;
  const std::int64_t bytes_of_32 = form == MatmulForm::f32 ? 128 : form == MatmulForm::bf16 ? 64 : 68;
  const std::int64_t units = kMatmulBytesOfB / (bytes_of_32 * kUnit * (depth / 32 + kMatmulTerms));
  return units < 1 ? kUnit : units * kUnit;
}

}  // namespace powerhouse::cpu
