// Dropout of attention weights: which are kept, computed where they are (params.h says which numbers decide).
//
// A block of Philox decides on eight keys of a query. Each lane makes one, as eight bits, and lanes fetch the bits of
// their elements from each other.
#pragma once

#include "kernels/cuda/flash_attention/params.h"
#include "kernels/cuda/philox.cuh"
#include "kernels/cuda/primitives.cuh"

namespace powerhouse::cuda {

/// Which weights of a row, of `row_blocks` blocks, have their bit set: of keys 8 group to 8 group + 7, from the lowest
/// bit on.
static __device__ __forceinline__ unsigned kept_keys(const FlashDropout& dropout, std::int64_t row, int row_blocks,
                                                     int group) {
  const std::uint64_t counter = dropout.counter + static_cast<std::uint64_t>(row * row_blocks + group);
  const PhiloxWords words = philox(
      {{static_cast<std::uint32_t>(counter), static_cast<std::uint32_t>(counter >> 32), dropout.lane, dropout.stream}},
      dropout.key[0], dropout.key[1]);
  unsigned bits = 0;
#pragma unroll
  for (int i = 0; i < 8; ++i) {
    bits |= static_cast<unsigned>((words.word[i / 2] >> i % 2 * 16 & 0xFFFFu) >= dropout.threshold) << i;
  }
  return bits;
}

/// Zeros in the place of dropped weights, which lie queries by keys: from query `row`, counted over all that dropout
/// counts, and key 8 group on.
template <int kRowBlocks, int kScoreColumns>
static __device__ __forceinline__ void drop_weights(float (&weights)[kRowBlocks][kScoreColumns][4],
                                                    const FlashDropout& dropout, std::int64_t row, int row_blocks,
                                                    int group, int lane) {
#pragma unroll
  for (int block = 0; block < kRowBlocks; ++block) {
#pragma unroll
    for (int pair = 0; pair < kScoreColumns; pair += 2) {
      const unsigned made = kept_keys(dropout, row + block * 16 + lane % 16, row_blocks, group + pair + lane / 16);
#pragma unroll
      for (int part = 0; part < 4; ++part) {
        const int n = pair + part / 2, below = part % 2;
        const unsigned bits = shuffle(made, part / 2 * 16 + below * 8 + lane / 4) >> lane % 4 * 2;
        if ((bits & 1) == 0) weights[block][n][below * 2] = 0.0f;
        if ((bits & 2) == 0) weights[block][n][below * 2 + 1] = 0.0f;
      }
    }
  }
}

/// The same for weights that lie keys by queries: bit 4 n + e says whether element e of fragment n is kept.
template <int kScoreColumns>
static __device__ __forceinline__ unsigned kept_elements(const FlashDropout& dropout, std::int64_t row, int row_blocks,
                                                         int group, int lane) {
  static_assert(kScoreColumns <= 8);
  unsigned kept = 0;
#pragma unroll
  for (int pair = 0; pair < kScoreColumns; pair += 2) {
    const unsigned made = kept_keys(dropout, row + pair * 8 + lane % 16, row_blocks, group + lane / 16);
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      const int n = pair + i / 4, e = i % 4;
      const unsigned bits = shuffle(made, e / 2 * 16 + i / 4 * 8 + lane % 4 * 2 + e % 2);
      kept |= (bits >> lane / 4 & 1) << (n * 4 + e);
    }
  }
  return kept;
}

}  // namespace powerhouse::cuda
