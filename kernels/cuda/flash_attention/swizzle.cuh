// Where the parts of a tile's row lie in shared memory, so that neither rows nor columns of it meet in one bank.
//
// A row lies in chunks of 16 bytes, 8 (4 where the row is no multiple of 128 bytes) to a segment. Within its segment a
// chunk's place is exclusive-ored with bits of the row's number, so that one chunk of 8 rows lies in 8 different groups
// of banks. Which bits: rows of a multiple of 128 bytes all begin in the same bank, rows of 64 or 192 bytes every
// other.
#pragma once

#include "kernels/cuda/primitives.cuh"

namespace powerhouse::cuda {

template <int kHeadDim>
struct Swizzle {
  static constexpr int kChunks = kHeadDim % 64 == 0 ? 8 : 4;  // of a segment
  static constexpr int kSegments = kHeadDim / 8 / kChunks;

  static __device__ __forceinline__ int of_row(int row) { return kChunks == 8 ? row % 8 : row / 2 % 4; }
  /// Bytes from the row's beginning to a chunk, given of_row(row). The lowest bits of `index` may be in `row_bits`.
  static __device__ __forceinline__ int chunk(int index, int row_bits) {
    return ((index % kChunks ^ row_bits) + index / kChunks * kChunks) * 16;
  }
};

}  // namespace powerhouse::cuda
