// The arguments of products with a weight of blocks, and how a product is cut for the device.
#pragma once

#include <cstdint>

#include "kernels/common/blocks.h"
#include "kernels/common/element.h"

namespace powerhouse::cuda {

/// Rows that the product by multiplications and additions in float32 takes; above, tensor cores multiply the weight
/// rounded to the type of x.
inline constexpr std::int64_t kMostPlainRows = 8;

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
  float* workspace = nullptr;  ///< workspace_floats(...) of product_plan.h; unused up to kMostPlainRows
  int multiprocessors = 108;   ///< of the device: the product is split over inputs until there is work for them
};

}  // namespace powerhouse::cuda
