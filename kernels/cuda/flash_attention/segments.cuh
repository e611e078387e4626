// Tiles in shared memory as a warpgroup's products take them: segments of 64 columns, one after another, each of rows
// of 128 bytes whose chunks of 16 stand at chunk ^ (row % 8).
#pragma once

#include "kernels/cuda/elements.cuh"
#include "kernels/cuda/flash_attention/copy.cuh"

namespace powerhouse::cuda {

/// Bytes from a segment's beginning to a chunk of 8 elements.
static __device__ __forceinline__ int segment_chunk(int row, int chunk) { return row * 128 + (chunk ^ row % 8) * 16; }

/// Rows [begin, begin + kRows) of a tensor into a tile, by kThreads threads; zeros from row `rows` of the tensor and
/// from column head_dim on. `first`: elements from the tensor's beginning to row 0.
template <int kHeadDim, int kRows, int kThreads>
static __device__ __forceinline__ void load_segments(unsigned char* tile, const void* tensor, std::int64_t first,
                                                     std::int64_t row_stride, int begin, int rows, int head_dim) {
  constexpr int kPass = kThreads / 8;  // rows at once
  static_assert(kPass % 8 == 0, "a thread's rows share their swizzle");
  const int thread = read_place().thread, chunk = thread % 8, row = begin + thread / 8;
  const bfloat16* const from = static_cast<const bfloat16*>(tensor) + first + row * row_stride + chunk * 8;
  unsigned char* const to = tile + segment_chunk(thread / 8, chunk);
#pragma unroll
  for (int pass = 0; pass < kRows / kPass; ++pass) {
#pragma unroll
    for (int segment = 0; segment < kHeadDim / 64; ++segment) {
      const bool valid = row + pass * kPass < rows && (segment * 8 + chunk) * 8 < head_dim;
      copy_async<16>(to + (segment * kRows + pass * kPass) * 128, from + pass * kPass * row_stride + segment * 64,
                     valid);
    }
  }
}

/// A warp's 16 rows, from `warp_row` on, of a tile of kRows, given as fragments times `factor`, by way of their place
/// in the tile. `first`: elements from the tensor's beginning to the tile's first row, of which on `rows` are left.
template <int kRows, int kColumns, typename Element>
static __device__ __forceinline__ void store_segments(unsigned char* tile, int warp_row,
                                                      const float (&fragments)[kColumns][4], float factor, void* tensor,
                                                      std::int64_t first, std::int64_t row_stride, int rows,
                                                      int head_dim, Element) {
  const int lane = read_place().thread % 32;
#pragma unroll
  for (int n = 0; n < kColumns; ++n) {
#pragma unroll
    for (int below = 0; below < 2; ++below) {
      store_as(tile + n / 8 * kRows * 128 + segment_chunk(warp_row + lane / 4 + below * 8, n % 8) + lane % 4 * 4,
               pack(fragments[n][below * 2] * factor, fragments[n][below * 2 + 1] * factor, Element{}));
    }
  }
  sync_warp();
  auto* const out = static_cast<bfloat16*>(tensor) + first;
#pragma unroll
  for (int pass = 0; pass < 4; ++pass) {
    const int row = warp_row + pass * 4 + lane / 8, chunk = lane % 8;
#pragma unroll
    for (int segment = 0; segment < kColumns / 8; ++segment) {
      if (row >= rows || (segment * 8 + chunk) * 8 >= head_dim) continue;
      store_words(out + row * row_stride + (segment * 8 + chunk) * 8,
                  load_words(tile + segment * kRows * 128 + segment_chunk(row, chunk)));
    }
  }
}

}  // namespace powerhouse::cuda
