// How much of the problem a block of paged attention holds, by the type of queries, head size and cells of the cache.
//
// Decoding is bound by memory: keys and values come in once, and what multiprocessors do with an element has to fit
// into the time that it takes to come. An H100 brings 14 bytes a cycle and multiprocessor and issues 128 instructions
// of lanes in it: 17 an element of bf16, 9 of q8_0, 5 of q4_0. Tensor cores do the products of two-byte types, keys and
// values as their sixteen rows and eight query vectors as columns, of which a group of few heads leaves less empty than
// of sixteen; codes of blocks become their operands in registers. float32 alone is multiplied by lanes.
//
// A tile is cut in strips of 16 keys. A strip's warps copy its rows for themselves and wait for nobody else until a
// part ends. Strips depend on types and head size alone, since sums follow them; more vectors are more warps.
#pragma once

#include "kernels/common/blocks.h"
#include "kernels/common/float16.h"

namespace powerhouse::cuda {

/// What lies in the cache: numbers of the queries' two-byte type; blocks; for float32 queries any.
struct OwnCells {
  static constexpr int kBytesOf32 = 64, kStages = 2, kLeastBlocks = 3;
};
struct Q8Cells {
  static constexpr BlockFormat kFormat = BlockFormat::q8_0;
  static constexpr int kBytesOf32 = 34, kStages = 2, kLeastBlocks = 4;
};
struct Q4Cells {
  static constexpr BlockFormat kFormat = BlockFormat::q4_0;
  static constexpr int kBytesOf32 = 18, kStages = 2, kLeastBlocks = 4;
};
struct AnyCells {
  static constexpr int kBytesOf32 = 128, kStages = 2, kLeastBlocks = 1;
};

/// The type of queries and output: bf16 or f16, as the arguments say. Their kernels differ in a few products alone.
struct TwoBytes {
  std::uint16_t bits;
};

/// T: TwoBytes or float.
template <typename T, int kHeadDim_, typename Cells, int kColumns>
struct PagedTile {
  static constexpr int kHeadDim = kHeadDim_;
  static constexpr int kRowBytes = kHeadDim / 32 * Cells::kBytesOf32;
  static constexpr bool kSwizzled = Cells::kBytesOf32 == 64;
  /// Of a row in shared memory: an odd number of 16 bytes, so that a word of 8 rows lies in 8 groups of banks.
  static constexpr int kPitch = kSwizzled ? kRowBytes : ((kRowBytes + 15) / 16 | 1) * 16;
  static constexpr int kStrips = kRowBytes <= 256 ? 4 : kRowBytes <= 512 ? 2 : 1;
  static constexpr int kKeys = kStrips * 16;
  static constexpr int kStages = Cells::kStages;
  /// That a multiprocessor is to hold, so far as registers go.
  static constexpr int kLeastBlocks = kColumns == 2 || kHeadDim > 128 ? 1 : kHeadDim > 64 ? Cells::kLeastBlocks : 6;
  /// Warps with the same keys: of two-byte heads up to 128, all 8 rows of a group of 8 heads share what is read.
  static constexpr int kMostVectorTiles = kColumns == 1    ? 1
                                          : kHeadDim > 128 ? (sizeof(T) == 4 ? 1 : 2)
                                                           : (sizeof(T) == 4 ? 2 : 4);
  static constexpr int kMostVectors = kMostVectorTiles * kColumns * 8;
  static constexpr int kMostThreads = kStrips * 32 * kMostVectorTiles;
  static constexpr int kOutTiles = kHeadDim / 16;  // fragments of output below each other

  // Shared memory, from its beginning.
  static constexpr int kStageBytes = 32 * kPitch;  // 16 keys and 16 values
  static constexpr int kRingBytes = kStrips * kStages * kStageBytes;
  static constexpr int kStatBytes = (kStrips + 1) * kMostVectors * 8;
  static constexpr int kScoredBytes = kMostVectors * 16;
  static constexpr int kKeptBytes = 64;
  static constexpr int kSumsAt = kRingBytes + kStatBytes + kScoredBytes + kKeptBytes;
  /// Sums of many vectors lie in the stages that were used last, each strip's for sixteen of them, where they fit.
  static constexpr bool kSumsInRing = kColumns == 2 && kStrips >= kMostVectorTiles && kStageBytes >= kHeadDim * 16 * 4;
  static constexpr int kSumsPitch = kSumsInRing ? kHeadDim : kHeadDim + 4;  // floats
  static constexpr int kSumsTile = kSumsInRing ? kStages * kStageBytes / 4 : 16 * kSumsPitch;
  static constexpr int kQueriesAt = kSumsAt + (kSumsInRing ? 0 : kMostVectors * kSumsPitch * 4);
  static constexpr int kQueryPitch = kHeadDim + 4;                                     // of float32
  static constexpr int kQueryBytes = sizeof(T) == 4 ? kQueryPitch * 4 : kHeadDim * 2;  // of a vector
  static_assert(kQueriesAt + kMostVectors * kQueryBytes <= 99 << 10);  // as much as compute capability 8.9 has
};

}  // namespace powerhouse::cuda
