// Sizes of the products on tensor cores: what lies in a block's shared memory. Constants, without CUDA, so that limits
// on machine code are computed from them too.
#pragma once

#include "kernels/cuda/code_traits.h"
#include "kernels/cuda/product_plan.h"

namespace powerhouse::cuda {

/// Inputs of a stage.
inline constexpr int kStep = 64;

/// Stages of x, of which all but one are on their way, then what the weight needs; at the end the sums of all warps in
/// the same place.
template <int kRowTiles, int kOutputWarps, int kInputWarps, int kStages_, int kWeightBytes>
struct ProductShape {
  static constexpr int kStages = kStages_;
  static constexpr int kWarps = kOutputWarps * kInputWarps, kThreads = 32 * kWarps;
  static constexpr int kRows = 8 * kRowTiles, kOutputs = kStripOutputs * kOutputWarps;
  static constexpr int kInputs = kInputWarps;  ///< warps along inputs
  static constexpr int kStageBytes = kInputWarps * kRows * kStep * 2;
  /// Of a row of sums: the distance puts lanes that hold rows side by side into different banks.
  static constexpr int kSumsOfRow = kOutputs + 4;
  static constexpr int kSumBytes = kInputWarps * kRows * kSumsOfRow * 4;
  static constexpr int kCopyBytes = kStages * kStageBytes + kWarps * kWeightBytes;
  static constexpr int kSharedBytes = kCopyBytes > kSumBytes ? kCopyBytes : kSumBytes;
};

inline constexpr int kBlocksStages = 3;

/// A warp's chunks of a weight of blocks: two, of 32 rows.
template <BlockFormat kFormat>
struct BlocksRoom {
  static constexpr int kChunk = static_cast<int>(product_chunk(kFormat)), kSteps = kChunk / kStep;
  static constexpr int kChunkBytes = kChunk / block_info(kFormat).block_elements * block_info(kFormat).block_bytes;
  static constexpr int kSectors = (kChunkBytes + 31) / 32 + 1;
  /// Of a row: an odd number of 16 bytes, so that rows lie in different banks.
  static constexpr int kRoom = kSectors * 32 + 16;
  static constexpr int kBytes = kStripOutputs * 2 * kRoom;
  static_assert(kSteps >= kBlocksStages - 1, "a chunk has come when its first step begins");
};
template <BlockFormat kFormat>
using BlocksShape = ProductShape<kBlocksTile.row_tiles, kBlocksTile.output_warps, kBlocksTile.input_warps,
                                 kBlocksStages, BlocksRoom<kFormat>::kBytes>;

/// Of repacked codes. Few rows of x leave room for more stages, and their products wait for memory more than others;
/// codes of 8 bits would leave room for one block only.
inline constexpr int strip_stages(int bits, int row_tiles) { return bits == 4 && row_tiles <= 2 ? 4 : 3; }
template <int kBits>
inline constexpr int kStripStepBytes = kStripOutputs* kStep* kBits / 8;  // of a warp
template <int kBits, int kRowTiles>
using StripShape =
    ProductShape<kRowTiles, repacked_tile(kRowTiles).output_warps, repacked_tile(kRowTiles).input_warps,
                 strip_stages(kBits, kRowTiles), strip_stages(kBits, kRowTiles) * kStripStepBytes<kBits>>;

/// Of products of few rows: a block of threads takes 16 outputs at a time, and its warps take turns at chunks of 256
/// inputs.
inline constexpr int kFewOutputs = 16, kFewChunk = 256;
static_assert(kMostPlainRows == 8, "the rows of a fragment");
inline constexpr int kFewMostWarps = 16;

template <BlockFormat kFormat>
struct FewBlockRowsShape {
  static constexpr int kThreads = 32 * kFewMostWarps;  ///< at most; registers are to be enough for one block of them
  static constexpr int kChunkBytes = kFewChunk / block_info(kFormat).block_elements * block_info(kFormat).block_bytes;
  /// Pieces of 16 bytes of the sectors that a chunk may lie in, the first of which begins up to 31 bytes before it.
  static constexpr int kPieces = (kChunkBytes + 31 + 31) / 32 * 2;
  /// Of a row: an odd number of pieces, so that rows lie in different banks.
  static constexpr int kRoom = 16 * (kPieces | 1);
  static constexpr int kStageBytes = kFewOutputs * kRoom;
  static constexpr int kPreparedBytes = (kFewOutputs * kPreparedFloats<kFormat> * 4 + 15) / 16 * 16;
  static constexpr int kTableBytes = CodeTraits<kFormat>::kTable ? CodeTraits<kFormat>::kPlanes * kLevelTableBytes : 0;
  /// Of a row of sums: lanes' sums of four pairs of rows lie in different banks.
  static constexpr int kSumsOfRow = kFewOutputs + 4;
  static constexpr int kSumFloats = kSumsOfRow * static_cast<int>(kMostPlainRows);  ///< of a warp
  /// Rows of x in shared memory are this far from a multiple of 128 bytes: lanes of several rows meet in no bank.
  static constexpr int kRowOffset = CodeTraits<kFormat>::kLaneInputs == LaneInputs::eight ? 64 : 32;
  /// The table of levels, each warp's chunks and scales, two turns of sums, and squares of rows.
  static constexpr int shared_bytes(int warps, int stages) {
    return kTableBytes +
           warps * (stages * kStageBytes + kPreparedBytes + 2 * kSumFloats * 4 + static_cast<int>(kMostPlainRows) * 4);
  }
};

}  // namespace powerhouse::cuda
