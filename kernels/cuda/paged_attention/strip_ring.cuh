// Tiles of keys and values from pages into shared memory: asynchronous copies of a whole row's bytes, 16 at once where
// rows begin on 16. What has not the products' type arrives as it is and is converted there.
#pragma once

#include "kernels/cuda/flash_attention/swizzle.cuh"
#include "kernels/cuda/paged_attention/cells.cuh"
#include "kernels/cuda/paged_attention/tile.h"

namespace powerhouse::cuda {

/// Rows of this many bytes lie as those of half as many elements of two bytes.
template <typename T, int kHeadDim>
using PagedSwizzle = Swizzle<kHeadDim* static_cast<int>(sizeof(T)) / 2>;

/// Starts to copy rows [head_dim] of T; zeros behind head_dim and for rows without an address.
template <typename T, int kHeadDim>
static __device__ __forceinline__ void start_rows(unsigned char* tile, const std::uint64_t* rows, int head_dim) {
  using Tile = PagedTile<T, kHeadDim>;
  using Lay = PagedSwizzle<T, kHeadDim>;
  constexpr int kChunks = Tile::kBytesOfRow / 16;
  for (int i = static_cast<int>(threadIdx.x); i < Tile::kKeys * kChunks; i += static_cast<int>(blockDim.x)) {
    const int row = i / kChunks, chunk = i % kChunks;
    const auto from = rows[row];
    const bool valid = from != 0 && chunk * 16 < head_dim * static_cast<int>(sizeof(T));
    copy_async<16>(tile + row * Tile::kBytesOfRow + Lay::chunk(chunk, Lay::of_row(row)),
                   reinterpret_cast<const std::uint8_t*>(from) + chunk * 16, valid);
  }
}

/// How many bytes before a row its copy begins: rows of an odd number of blocks are even only.
static __device__ __forceinline__ int skew_of_row(std::uint64_t row) { return static_cast<int>(row % 4); }

template <int kPiece, int kRawBytes, int kKeys>
static __device__ __forceinline__ void start_raw_pieces(unsigned char* raw, const std::uint64_t* rows, int bytes) {
  const int lane = static_cast<int>(threadIdx.x % 32);
  for (int row = static_cast<int>(threadIdx.x / 32); row < kKeys; row += static_cast<int>(blockDim.x / 32)) {
    const auto from = rows[row];
    const int skew = kPiece == 4 ? skew_of_row(from) : 0;
    for (int at = lane * kPiece; at < bytes + skew; at += 32 * kPiece)
      copy_async<kPiece>(raw + row * kRawBytes + at, reinterpret_cast<const std::uint8_t*>(from) - skew + at,
                         from != 0);
  }
}

/// The same for rows of another type, to be converted.
template <typename T, int kHeadDim>
static __device__ __forceinline__ void start_raw_rows(unsigned char* raw, const std::uint64_t* rows,
                                                      const PagedBytes& bytes) {
  using Tile = PagedTile<T, kHeadDim>;
  switch (bytes.piece) {
    case 16: return start_raw_pieces<16, Tile::kRawBytes, Tile::kKeys>(raw, rows, bytes.row);
    case 8: return start_raw_pieces<8, Tile::kRawBytes, Tile::kKeys>(raw, rows, bytes.row);
    default: return start_raw_pieces<4, Tile::kRawBytes, Tile::kKeys>(raw, rows, bytes.row);
  }
}

/// Converted rows in their places; zeros behind head_dim.
template <typename T, int kHeadDim>
static __device__ __forceinline__ void convert_rows(unsigned char* tile, const unsigned char* raw,
                                                    const std::uint64_t* rows, BlockFormat type, int head_dim) {
  using Tile = PagedTile<T, kHeadDim>;
  using Lay = PagedSwizzle<T, kHeadDim>;
  constexpr int kEights = kHeadDim / 8, kParts = 8 / kWidest<T>;
  for (int i = static_cast<int>(threadIdx.x); i < Tile::kKeys * kEights; i += static_cast<int>(blockDim.x)) {
    const int row = i / kEights, eight = i % kEights;
    Eight x = {};
    if (eight * 8 < head_dim)
      read_cells<sizeof(T) == 4>(type, raw + row * Tile::kRawBytes + skew_of_row(rows[row]), eight * 8, x);
#pragma unroll
    for (int part = 0; part < kParts; ++part) {
      // Of eight lanes with two chunks each, four begin with the second, so that they lie in different banks.
      const int which = kParts == 2 ? part ^ eight / 4 % 2 : 0;
      float chunk[kWidest<T>];
#pragma unroll
      for (int e = 0; e < kWidest<T>; ++e) chunk[e] = kParts == 2 && which == 1 ? x[(e + 4) % 8] : x[e];
      store_elements(
          reinterpret_cast<T*>(tile + row * Tile::kBytesOfRow + Lay::chunk(eight * kParts + which, Lay::of_row(row))),
          chunk);
    }
  }
}

}  // namespace powerhouse::cuda
