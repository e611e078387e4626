// A warp's products over tiles in shared memory, as fragments of mma.
//
// Rows that a lane addresses are its own number plus multiples of 8, so its swizzle is one value, known before a loop.
#pragma once

#include "kernels/cuda/flash_attention/swizzle.cuh"
#include "kernels/cuda/primitives.cuh"

namespace powerhouse::cuda {

/// The row that a lane gives to ldmatrix, in a tile with rows of kColumns elements; two ways to take four matrices.
template <int kColumns>
struct LaneRow {
  using Lay = Swizzle<kColumns>;
  static constexpr int kBytes = kColumns * 2;

  const unsigned char* at;
  int bits;  // swizzle, with the half of a step that the lane loads

  /// The second matrix is below the first: left operands, and right ones of a tile whose rows are added over.
  static __device__ __forceinline__ LaneRow below(const unsigned char* tile, int lane) {
    return {tile + lane % 16 * kBytes, lane / 16 ^ Lay::of_row(lane % 8)};
  }
  /// The second matrix is beside the first: right operands of a tile whose columns are added over, and left ones that
  /// lie transposed.
  static __device__ __forceinline__ LaneRow beside(const unsigned char* tile, int lane) {
    return {tile + (lane % 8 + lane / 16 * 8) * kBytes, lane / 8 % 2 ^ Lay::of_row(lane % 8)};
  }
  /// Where 16 rows and a chunk of them begin.
  __device__ __forceinline__ const unsigned char* chunk(int rows16, int index) const {
    return at + rows16 * 16 * kBytes + Lay::chunk(index, bits);
  }
};

/// sums += left tile^T for one step of 16 along the tile's columns.
template <typename Element, int kColumns, int kRowBlocks, int kFragments>
static __device__ __forceinline__ void add_products_with_rows(int step, const std::uint32_t (&left)[kRowBlocks][4],
                                                              const LaneRow<kColumns>& tile,
                                                              float (&sums)[kRowBlocks][kFragments][4]) {
#pragma unroll
  for (int n = 0; n < kFragments / 2; ++n) {
    std::uint32_t right[4];
    load_matrix_x4(right, tile.chunk(n, step * 2));
#pragma unroll
    for (int block = 0; block < kRowBlocks; ++block) {
      multiply_16816(sums[block][2 * n], left[block], right[0], right[1], Element{});
      multiply_16816(sums[block][2 * n + 1], left[block], right[2], right[3], Element{});
    }
  }
}

/// sums += left tile for one step of 16 along the tile's rows. `chunk_of(n)`: where fragments n and n + 1 lie.
template <typename Element, int kColumns, int kRowBlocks, int kFragments, typename ChunkOf>
static __device__ __forceinline__ void add_products_with_columns(int step, const std::uint32_t (&left)[kRowBlocks][4],
                                                                 const LaneRow<kColumns>& tile,
                                                                 float (&sums)[kRowBlocks][kFragments][4],
                                                                 const ChunkOf& chunk_of) {
#pragma unroll
  for (int n = 0; n < kFragments; n += 2) {
    std::uint32_t right[4];
    load_matrix_x4_transposed(right, tile.chunk(step, chunk_of(n)));
#pragma unroll
    for (int block = 0; block < kRowBlocks; ++block) {
      multiply_16816(sums[block][n], left[block], right[0], right[1], Element{});
      multiply_16816(sums[block][n + 1], left[block], right[2], right[3], Element{});
    }
  }
}

/// Fragments of scores are those of a left operand, once rounded: the one of step `step` along their columns.
template <typename Element, int kFragments>
static __device__ __forceinline__ void round_to_left(int step, const float (&scores)[kFragments][4],
                                                     std::uint32_t (&left)[4]) {
#pragma unroll
  for (int part = 0; part < 4; ++part) {
    const float(&pair)[4] = scores[step * 2 + part / 2];
    left[part] = pack(pair[part % 2 * 2], pair[part % 2 * 2 + 1], Element{});
  }
}

}  // namespace powerhouse::cuda
