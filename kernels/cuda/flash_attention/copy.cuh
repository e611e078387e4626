// Tiles between global and shared memory: 16 bytes a thread and copy, whole segments of a row by neighbours.
#pragma once

#include "kernels/cuda/flash_attention/swizzle.cuh"
#include "kernels/cuda/primitives.cuh"

namespace powerhouse::cuda {

struct alignas(16) Chunk {
  std::uint32_t words[4];
};

/// A thread's part of copying tiles of one tensor: in each pass all threads of the block take kRows rows of a segment.
template <int kHeadDim, int kThreads>
struct TileCopy {
  using Lay = Swizzle<kHeadDim>;
  static constexpr int kRows = kThreads / Lay::kChunks;
  static_assert(kRows % 8 == 0, "a thread's rows share their swizzle");
  // Heads go by the smallest kernel that holds them (launchers.h), so that those of up to 128 columns have all segments
  // whole but the last; larger ones the first two of four.
  static constexpr bool kTwoPartial = kHeadDim > 128;

  const bfloat16* from;  // row 0, this thread's chunk of segment 0; either type, both have 2 bytes
  std::int64_t row_stride;
  int row, to;                   // in the tile: the first row, its chunk's byte
  bool last_valid, third_valid;  // the chunk of that segment is one of the tensor's; the third where two are partial

  __device__ __forceinline__ TileCopy(const void* tensor, std::int64_t first, std::int64_t row_stride_, int head_dim,
                                      int thread)
      : row_stride(row_stride_) {
    const int chunk = thread % Lay::kChunks;
    row = thread / Lay::kChunks;
    to = row * kHeadDim * 2 + Lay::chunk(chunk, Lay::of_row(row));
    last_valid = ((Lay::kSegments - 1) * Lay::kChunks + chunk) * 8 < head_dim;
    third_valid = !kTwoPartial || (2 * Lay::kChunks + chunk) * 8 < head_dim;
    from = static_cast<const bfloat16*>(tensor) + first + row * row_stride + chunk * 8;
  }

  /// Rows [begin, begin + kTileRows) into a tile; zeros from row `rows` of the tensor on, unless all are known to be
  /// in.
  template <int kTileRows, bool kChecked>
  __device__ __forceinline__ void load(unsigned char* tile, int begin, int rows) const {
    const bfloat16* at = from + begin * row_stride;
#pragma unroll
    for (int pass = 0; pass < kTileRows / kRows; ++pass) {
      const bool in = !kChecked || begin + row + pass * kRows < rows;
#pragma unroll
      for (int segment = 0; segment < Lay::kSegments; ++segment) {
        const bool partial_valid = !kTwoPartial || segment != 2 || third_valid;
        const bool valid = in && (segment + 1 < Lay::kSegments || last_valid) && partial_valid;
        const bfloat16* source = at + pass * kRows * row_stride + segment * Lay::kChunks * 8;
        copy_async<16>(tile + to + pass * kRows * kHeadDim * 2 + segment * Lay::kChunks * 16, source, valid);
      }
    }
  }
};

/// Waits for all copies of the block, and for all its warps to be done with what the next ones overwrite.
static __device__ __forceinline__ void wait_for_copies() {
  copy_async_wait<0>();
  sync_block();
}

}  // namespace powerhouse::cuda
