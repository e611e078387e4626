// How much of the problem a block of paged attention holds, by element and head size.
//
// Decoding is bound by memory: of a key and its value 4 bytes an element of the head come in, and by its data sheet an
// A100 takes 10 of them a cycle and multiprocessor. In the 0.4 cycles that they need, its 64 lanes of float32 do 25
// products and sums of the 2 that each query head of the group wants: with loads, conversions and shuffles enough for 4
// or 5 heads. Tensor cores do 16 query vectors in 0.03 cycles, however many of them are empty; so they do all products
// of two-byte types, and float32 alone is multiplied by lanes.
//
// A tile is cut in strips of 16 keys, one for each warp with the same 16 query vectors. Strips depend on type and head
// size alone, since sums follow them; more vectors are more warps.
#pragma once

#include "kernels/common/float16.h"

namespace powerhouse::cuda {

template <typename T, int kHeadDim_>
struct PagedTile {
  static constexpr int kHeadDim = kHeadDim_;
  static constexpr int kBytesOfRow = kHeadDim * static_cast<int>(sizeof(T));
  static_assert(kBytesOfRow >= 128 && kBytesOfRow <= 1024);
  static constexpr int kStrips = kBytesOfRow <= 256 ? 4 : 1024 / kBytesOfRow;
  static constexpr int kKeys = kStrips * 16;
  static constexpr int kVectors = 16;  // of queries, a warp
  /// Warps with the same keys: of two-byte heads up to 128, all 8 rows of a group of 8 heads share what is read.
  static constexpr int kMostVectorTiles = sizeof(T) == 2 && kBytesOfRow <= 256 ? 4 : kBytesOfRow <= 512 ? 2 : 1;
  static constexpr int kMostVectors = kMostVectorTiles * kVectors;
  static constexpr int kMostThreads = kStrips * kMostVectorTiles * 32;
  static constexpr int kScoreColumns = 2;           // fragments of a strip's scores in a row
  static constexpr int kOutColumns = kHeadDim / 8;  // fragments of output in a row
  /// Of a row that is not yet T: of blocks, or of two bytes an element on its way to float32.
  static constexpr int kRawBytes = sizeof(T) == 4 ? 2 * kHeadDim : (kHeadDim / 32 * 34 + 15) / 16 * 16;

  // Shared memory, from its beginning. A tile's keys and values hold the sums of a part when it ends.
  static constexpr int kTileBytes = kKeys * kBytesOfRow;  // of keys or of values
  static constexpr int kRawTileBytes = kKeys * kRawBytes;
  static constexpr int kAddressTiles = 2;
  static constexpr int kAddressBytes = kAddressTiles * 2 * kKeys * 8;
  static constexpr int kStatBytes = (kStrips + 1) * kMostVectors * 8;
  static constexpr int kScoredBytes = kMostVectors * 16;
  static constexpr int kKeptBytes = 64;
  static_assert(kMostVectors * kHeadDim * 4 <= 2 * kTileBytes);

  template <bool kConverted>
  static constexpr int kCopyBytes = kConverted ? 2 * kTileBytes + 4 * kRawTileBytes : 4 * kTileBytes;
  template <bool kConverted>
  static constexpr int kQueriesAt = kCopyBytes<kConverted> + kAddressBytes + kStatBytes + kScoredBytes + kKeptBytes;
};

}  // namespace powerhouse::cuda
