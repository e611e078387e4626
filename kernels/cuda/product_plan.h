// How products on tensor cores are cut: plain functions, the same for launchers, callers and tests.
//
// A block of threads takes 32 outputs a warp along outputs, and up to 64 rows; its warps along inputs take a part of
// them each and are summed in order. Where outputs are too few to give every multiprocessor a block, the inputs are
// split between blocks too; their sums go through a workspace and are added in order by a second launch, so that a
// result does not depend on time.
#pragma once

#include "kernels/common/blocks.h"
#include "kernels/cuda/gptq_product_params.h"
#include "kernels/cuda/quantized_product_params.h"

namespace powerhouse::cuda {

inline constexpr std::int64_t kRowsOfTile = 64;
/// More are no case for these kernels, and their launches count rows in one dimension of a grid.
inline constexpr std::int64_t kMostTiledRows = 65535;

/// What a block of threads takes, known when its kernel is compiled.
struct ProductTile {
  int row_tiles;     ///< of eight rows: 1, 2, 4 or 8
  int output_warps;  ///< of 32 outputs
  int input_warps;   ///< of a part of the inputs
};

/// Blocks are dequantized from shared memory, which has no room for more warps.
inline constexpr ProductTile kBlocksTile = {8, 4, 1};
/// Few rows: their x is cheap to read for many inputs at once, and more warps along inputs make more blocks.
inline constexpr ProductTile repacked_tile(int row_tiles) {
  const int output_warps = row_tiles < 4 ? row_tiles : 4;
  return {row_tiles, output_warps, 8 / output_warps};
}

struct ProductPlan {
  ProductTile tile{};
  std::int64_t part = 0;  ///< inputs of a warp, a multiple of the unit
  std::int64_t splits = 1;
  std::int64_t row_blocks = 1, output_blocks = 1;
};

/// `unit`: inputs that are not split.
inline constexpr ProductPlan product_plan(const ProductTile& tile, std::int64_t rows, std::int64_t outputs,
                                          std::int64_t inputs, std::int64_t unit, int multiprocessors) {
  ProductPlan plan{.tile = tile};
  plan.row_blocks = (rows + tile.row_tiles * 8 - 1) / (tile.row_tiles * 8);
  plan.output_blocks = (outputs + tile.output_warps * kStripOutputs - 1) / (tile.output_warps * kStripOutputs);
  const std::int64_t units = (inputs + unit - 1) / unit;
  const std::int64_t blocks = plan.row_blocks * plan.output_blocks;
  const std::int64_t wanted = blocks == 0 || multiprocessors <= blocks ? 1 : multiprocessors / blocks;
  const std::int64_t parts = wanted * tile.input_warps;
  const std::int64_t least = unit >= 256 ? 1 : 256 / unit;  // less is not worth the sums
  std::int64_t each = (units + parts - 1) / parts;
  if (each < least) each = least;
  plan.part = each * unit;
  plan.splits = (units + each * tile.input_warps - 1) / (each * tile.input_warps);
  if (plan.splits < 1) plan.splits = 1;
  return plan;
}

/// Inputs of a weight of blocks that come into shared memory at once.
inline constexpr std::int64_t product_chunk(BlockFormat format) {
  return block_info(format).block_elements > 128 ? 256 : 128;
}

inline constexpr ProductPlan plan_of(const QuantizedProductParams& p) {
  return product_plan(kBlocksTile, p.rows, p.outputs, p.inputs, product_chunk(p.format), p.multiprocessors);
}
inline constexpr ProductPlan plan_of(const RepackedProductParams& p) {
  const int row_tiles = p.rows <= 8 ? 1 : p.rows <= 16 ? 2 : p.rows <= 32 ? 4 : 8;
  return product_plan(repacked_tile(row_tiles), p.rows, p.weight.outputs, p.weight.inputs, 64, p.multiprocessors);
}

inline constexpr std::int64_t split_floats(const ProductPlan& plan, std::int64_t rows, std::int64_t outputs) {
  return plan.splits > 1 ? plan.splits * rows * outputs : 0;
}

/// Floats of the workspace that a product needs; 0: none.
inline constexpr std::int64_t workspace_floats(const QuantizedProductParams& p) {
  return is_exact(p.type, p.rows) ? 0 : split_floats(plan_of(p), p.rows, p.outputs);
}
inline constexpr std::int64_t workspace_floats(const RepackedProductParams& p) {
  const std::int64_t reordered = p.weight.order == nullptr ? 0 : p.rows * p.weight.inputs / 2;  // elements of 2 bytes
  return reordered + split_floats(plan_of(p), p.rows, p.weight.outputs);
}

/// Rows above which a weight is better dequantized for a dense product: a block of threads takes up to 64, and the next
/// decodes the weight again, which costs more than writing it once and reading it as bf16. Measured on an H100 for GPTQ
/// and AWQ too: as fast as a dense product at 64 rows, a third as fast at 256.
inline constexpr std::int64_t most_product_rows(BlockFormat) { return kRowsOfTile; }
inline constexpr std::int64_t most_product_rows(const RepackedWeight&) { return kRowsOfTile; }

}  // namespace powerhouse::cuda
