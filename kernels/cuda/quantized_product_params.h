// The arguments of products with a weight of blocks, and how a product is cut for the device.
#pragma once

#include <cstdint>

#include "kernels/common/blocks.h"
#include "kernels/common/element.h"

namespace powerhouse::cuda {

/// Up to so many rows each number of a weight is multiplied as it is: with x of float32 in float32, with others on
/// tensor cores, where a code is a whole number and exact, and what is not, as levels of NF4, is the sum of two
/// elements, which are its first 16 bits (bf16) or 22 (fp16); scales are float32. Above, the weight is rounded to the
/// type of x.
inline constexpr std::int64_t kMostPlainRows = 8;
/// The same for bf16 and fp16, where eight rows twice are still less work than rounding the weight for a tile of rows.
inline constexpr std::int64_t kMostExactRows = 2 * kMostPlainRows;

/// y = x weight^T + bias, summed in float32 and rounded once. The weight begins on 32 bytes, x, its rows and the
/// workspace on 16; the memory behind the weight up to a multiple of 32 bytes may be read, as every allocator gives it.
struct QuantizedProductParams {
  BlockFormat format = BlockFormat::q4_0;
  Element type = Element::bf16;  ///< of x, bias and y; not f32 above kMostPlainRows
  const void* weight = nullptr;  ///< [outputs, inputs] blocks of the format, row behind row
  const void* x = nullptr;       ///< [rows, inputs]
  const void* bias = nullptr;    ///< [outputs], or null: 0
  void* y = nullptr;             ///< [rows, outputs]
  std::int64_t rows = 0;         ///< at most kMostTiledRows of product_plan.h
  std::int64_t inputs = 0;       ///< a multiple of the format's block
  std::int64_t outputs = 0;
  std::int64_t x_stride = 0;
  std::int64_t y_stride = 0;
  float* workspace = nullptr;   ///< workspace_floats(...) of product_plan.h; unused up to kMostExactRows
  int multiprocessors = 108;    ///< of the device: the product is split over inputs until there is work for them
  int shared_bytes = 99 << 10;  ///< of the device, that a block can have
};

/// Whether numbers of the weight are multiplied as they are.
inline constexpr bool is_exact(Element type, std::int64_t rows) {
  return rows <= (type == Element::f32 ? kMostPlainRows : kMostExactRows);
}

}  // namespace powerhouse::cuda
