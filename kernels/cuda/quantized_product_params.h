// The arguments of products of few rows with a weight of blocks.
#pragma once

#include <cstdint>

#include "kernels/common/blocks.h"
#include "kernels/common/element.h"

namespace powerhouse::cuda {

/// Rows that one launch takes: above, the weight is dequantized for a library's product.
inline constexpr std::int64_t kMostProductRows = 8;

/// y = x weight^T + bias, in float32, rounded once. The weight begins on 32 bytes, x, its rows and y on 16; the memory
/// behind the weight up to a multiple of 16 bytes may be read, as every allocator gives it.
struct QuantizedProductParams {
  BlockFormat format = BlockFormat::q4_0;
  Element type = Element::bf16;  ///< of x, bias and y
  const void* weight = nullptr;  ///< [outputs, inputs] blocks of the format, row behind row
  const void* x = nullptr;       ///< [rows, inputs]
  const void* bias = nullptr;    ///< [outputs], or null: 0
  void* y = nullptr;             ///< [rows, outputs]
  std::int64_t rows = 0;         ///< at most kMostProductRows
  std::int64_t inputs = 0;       ///< a multiple of the format's block
  std::int64_t outputs = 0;
  std::int64_t x_stride = 0;
  std::int64_t y_stride = 0;
};

}  // namespace powerhouse::cuda
