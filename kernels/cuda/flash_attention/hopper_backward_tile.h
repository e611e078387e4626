// How much of the problem a block of flash attention's backward kernel for Hopper holds, by head size.
//
// A warpgroup holds gradients of 64 keys in registers, and the scores of as many queries as leave none in local memory.
// Above a head size of 128 two warpgroups share the keys, each with half of the gradients' columns: both make all
// scores, seven products instead of five, rather than wait for each other's.
#pragma once

#include "kernels/cuda/flash_attention/backward_tile.h"

namespace powerhouse::cuda {

template <int kHeadDim_>
struct HopperBackwardTile {
  static_assert(kHeadDim_ == 64 || kHeadDim_ == 128 || kHeadDim_ == 256);

  static constexpr int kHeadDim = kHeadDim_;
  static constexpr int kGroups = 2;  // warpgroups
  static constexpr int kThreads = kGroups * 128;
  static constexpr int kSharers = kHeadDim > 128 ? 2 : 1;              // warpgroups with the same keys
  static constexpr int kBlockN = kGroups / kSharers * 64;              // keys
  static constexpr int kBlockM = kHeadDim == 64 ? 128 : 64;            // queries
  static constexpr int kStages = 2;                                    // tiles of queries in shared memory
  static constexpr int kKeySteps = kHeadDim / 16;                      // of a product over head_dim
  static constexpr int kScoreColumns = kBlockM / 8;                    // fragments of scores in a row of a warp
  static constexpr int kOutColumns = kHeadDim / 8 / kSharers;          // fragments of gradients in a row of a warp
  static constexpr int kRows = flash_backward_rows(kHeadDim);          // of queries that the workspace calls a tile
  static constexpr int kSegments = kHeadDim / 64;                      // of a row
  static constexpr int kSquares = kBlockM / 64 * kSegments / kGroups;  // of dq, of 64 by 64, a warpgroup

  static constexpr int kKeyBytes = kBlockN * kHeadDim * 2;    // keys, and values
  static constexpr int kQueryBytes = kBlockM * kHeadDim * 2;  // queries, and gradients of the output
  static constexpr int kScoreBytes = kBlockN * kBlockM * 2;   // gradients of scores
  static constexpr int kNumberBytes = 2 * kBlockM * 4;        // lse and delta
  static constexpr int kKeptBytes = 128;
  static constexpr int kSharedBytes =
      2 * kKeyBytes + kStages * (2 * kQueryBytes + kNumberBytes) + kScoreBytes + kKeptBytes;
  static_assert(kSharedBytes <= 227 * 1024);
};

}  // namespace powerhouse::cuda
