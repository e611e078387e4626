// How much of the problem a block of flash attention's backward kernel holds, by head size.
//
// A warp holds gradients of 16 keys in registers: up to a head size of 128 whole, 128 registers of them, and the scores
// of 64 queries; above, two warps share 16 keys, each with half of every segment of their gradients' columns and with
// scores of half of the queries, which they show each other in shared memory. So it is at 128 where scores are
// modified, since softcap and dropout need registers too. There, values stay in registers, since shared memory for them
// is what a multiprocessor of compute capability 8.9 does not have (99 KiB a block).
//
// Eight warps and 64 queries cost 0.55 to 0.75 loads a product (static count; 32 keys a warp would cost 0.4, and 128
// registers more).
#pragma once

#include "kernels/cuda/flash_attention/backward_params.h"

namespace powerhouse::cuda {

template <int kHeadDim_, bool kModified = false>
struct FlashBackwardTile {
  static_assert(kHeadDim_ % 32 == 0 && kHeadDim_ >= 32 && kHeadDim_ <= 256);

  static constexpr int kHeadDim = kHeadDim_;
  static constexpr int kWarps = 8;
  static constexpr int kThreads = kWarps * 32;
  static constexpr bool kShared = kHeadDim > 128 || (kModified && kHeadDim == 128);  // two warps share their keys
  static constexpr int kSharers = kShared ? 2 : 1;
  static constexpr int kBlockN = kWarps / kSharers * 16;         // keys
  static constexpr int kBlockM = flash_backward_rows(kHeadDim);  // queries
  static constexpr int kKeySteps = kHeadDim / 16;                // of a product over head_dim
  static constexpr int kScoreColumns = kBlockM / 8 / kSharers;   // fragments of scores in a row of a warp
  static constexpr int kOutColumns = kHeadDim / 8 / kSharers;    // fragments of gradients in a row of a warp

  /// In how many parts scores are made; each reads keys and values anew.
  static constexpr int kParts = kModified && kHeadDim == 96 ? 2 : 1;

  // The warps' parts of the queries' gradients.
  static constexpr int kQueryBlocks = kHeadDim % 128 == 0 ? 2 : 1;           // of 16 queries, a warp
  static constexpr int kQueryWarps = kBlockM / 16 / kQueryBlocks;            // one below the other
  static constexpr int kQueryColumns = kHeadDim / 8 * kQueryWarps / kWarps;  // fragments in a row of a warp
  static_assert(kQueryColumns % 2 == 0);

  static constexpr int kBytesOfRow = kHeadDim * 2;
  static constexpr int kKeyBytes = kBlockN * kBytesOfRow;    // keys, and values
  static constexpr int kQueryBytes = kBlockM * kBytesOfRow;  // queries, and gradients of the output
  static constexpr int kScoreBytes = kBlockN * kBlockM * 2;  // gradients of scores, and weights where warps share
  static constexpr int kNumberBytes = 2 * kBlockM * 4;       // lse and delta
  static constexpr int kKeptBytes = 96;
  /// Where warps share keys: steps of head_dim whose values stay in registers; those of others lie in shared memory as
  /// registers hold them.
  static constexpr int kValueSteps = !kShared ? 1 : kModified && kHeadDim == 256 ? 8 : kKeySteps;
  static constexpr int kValueBytes = kShared ? (kKeySteps - kValueSteps) * kBlockN / 16 * 32 * 16 : 0;
  /// Gradients of scores take the place of the output's, where that makes the block fit.
  static constexpr bool kOverlaid = kHeadDim == 128 && !kShared;
  static constexpr int kSharedBytes = (kShared ? 1 : 2) * kKeyBytes + 2 * kQueryBytes +
                                      (kOverlaid ? 0
                                       : kShared ? 2 * kScoreBytes
                                                 : kScoreBytes) +
                                      kNumberBytes + kKeptBytes + kValueBytes;
  static_assert(!kOverlaid || kScoreBytes == kQueryBytes);
  static_assert(!kShared || kKeyBytes <= 2 * kQueryBytes);  // values come by way of the queries' place
  static_assert(kSharedBytes <= 99 * 1024);
};

}  // namespace powerhouse::cuda
