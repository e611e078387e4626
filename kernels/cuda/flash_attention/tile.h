// How much of the problem a block holds, by head size.
//
// Up to a head size of 128 a warp takes 32 query rows, so that each fragment of keys and values that it loads serves
// four products: shared memory then needs less time than the tensor cores (static count: 0.25 to 0.31 loads a product,
// 0.5 with 16 rows; at a size of 128 scores of 64 keys are 16 registers too many, and of 48 it is 0.33). Above, 32 rows
// of output do not fit in registers. Queries stay in registers where that leaves room for the output. One buffer of
// keys and one of values let two blocks share a multiprocessor up to a head size of 128.
#pragma once

namespace powerhouse::cuda {

static constexpr int kFlashKeptBytes = 64;  // of shared memory, behind the tiles

template <int kHeadDim_>
struct FlashForwardTile {
  static_assert(kHeadDim_ % 32 == 0 && kHeadDim_ >= 32 && kHeadDim_ <= 256);

  static constexpr int kHeadDim = kHeadDim_;
  static constexpr int kWarps = 4;
  static constexpr int kThreads = kWarps * 32;
  static constexpr int kRowBlocks = kHeadDim <= 128 ? 2 : 1;  // of 16 query rows, a warp
  static constexpr int kWarpRows = kRowBlocks * 16;
  static constexpr int kBlockM = kWarps * kWarpRows;         // query rows
  static constexpr int kBlockN = kHeadDim == 128 ? 48 : 64;  // keys
  static constexpr bool kQueriesInRegisters = kHeadDim <= 64;
  static constexpr int kKeySteps = kHeadDim / 16;    // of a product over head_dim
  static constexpr int kScoreColumns = kBlockN / 8;  // fragments of scores in a row
  static constexpr int kOutColumns = kHeadDim / 8;   // fragments of output in a row
  static constexpr int kBytesOfRow = kHeadDim * 2;
  static constexpr int kSharedBytes = (kBlockM + 2 * kBlockN) * kBytesOfRow + kFlashKeptBytes;
};

}  // namespace powerhouse::cuda
