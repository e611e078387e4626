// The ring of a strip in shared memory: its next rows of keys and values on their way from pages, as they lie there.
// Its warps copy for themselves alone, and wait for each other alone.
#pragma once

#include "kernels/cuda/flash_attention/mask.cuh"
#include "kernels/cuda/flash_attention/swizzle.cuh"
#include "kernels/cuda/paged_attention/pages.cuh"
#include "kernels/cuda/paged_attention/tile.h"

namespace powerhouse::cuda {

template <typename Tile, typename Cells>
struct StripRing {
  static constexpr int kHeadDim = Tile::kHeadDim;
  static constexpr bool kBlocks = Cells::kBytesOf32 < 64;
  /// Where a row of blocks says how many bytes before it its copy begins.
  static constexpr int kSkewAt = Tile::kPitch - 4;

  const PagedCache& cache;
  const PagedBytes& bytes;
  int kv_head, begin, end;  // positions that are seen
  int lane;
  int strip, warp, warps;  // which of the strip's warps
  unsigned char* ring;

  /// 16 keys and behind them 16 values.
  __device__ __forceinline__ unsigned char* stage(int tile) const {
    return ring + tile % Tile::kStages * Tile::kStageBytes;
  }
  __device__ __forceinline__ void sync() const {
    if (warps == 1) return sync_warp();
    sync_named(1 + strip, warps * 32);
  }

  __device__ __forceinline__ int first_of(int tile) const { return tile * Tile::kKeys + strip * 16; }
  /// Whether any of the strip's positions of a tile is seen.
  __device__ __forceinline__ bool sees(int tile) const { return first_of(tile) < end && first_of(tile) + 16 > begin; }

  /// The page of the row that this lane looks up for a tile, a key's or a value's; of the nearest that is seen where
  /// nobody sees it, so that no branch waits for the table.
  __device__ __forceinline__ std::uint64_t page(int tile) const {
    const int position = smaller(larger(first_of(tile) + lane % 16, begin), end - 1);
    void* const* const pages = (lane < 16 ? cache.key_pages : cache.value_pages) + blockIdx.z * cache.table_stride;
    return load_as<std::uint64_t>(pages + page_of(cache, bytes, position));
  }

  /// Starts to copy the rows of a tile, zeros for those that nobody sees. Also commits where there is nothing to copy:
  /// waits count.
  __device__ __forceinline__ void start(int tile, std::uint64_t page) const {
    if (sees(tile)) {
      const bool own = Cells::kBytesOf32 == 64,
                 known = own || (kBlocks && kHeadDim <= 128 && cache.head_dim == kHeadDim);
      const int first = first_of(tile);
      if (known && warps == 1 && bytes.page_shift >= 4 && first >= begin && first + 16 <= end) {
        copy_of_one_page(stage(tile), page, first);
      } else {
        const int position = first + lane % 16;
        const std::uint64_t address =
            position < begin || position >= end
                ? 0
                : page + static_cast<std::uint64_t>(place_in_page(cache, bytes, position, kv_head));
        if (known) {
          copy_rows(stage(tile), address);
        } else {
          copy_any(stage(tile), address);
        }
      }
    }
    copy_async_commit();
  }

  /// Waits for the oldest tile, kStages of which were started.
  __device__ __forceinline__ void wait(int tile) const {
    copy_async_wait<Tile::kStages - 1>();
    sync();
    if (Cells::kBytesOf32 == 64 || bytes.row % 4 == 0 || !sees(tile)) return;
    if (warp == 0) straighten(stage(tile) + lane * Tile::kPitch);
    sync();
  }

  /// Where heads are smaller than the tile's, what lies behind them is zero.
  __device__ __forceinline__ void clear() const {
    if constexpr (kBlocks) {
      if (cache.head_dim == kHeadDim) return;
      for (int at = warp * 32 + lane; at < Tile::kStages * Tile::kStageBytes / 16; at += warps * 32) {
        store_words(ring + at * 16, Words{});
      }
      sync();
    }
  }

 private:
  __device__ __forceinline__ std::uint64_t address_of(std::uint64_t address, int row) const {
    const std::uint32_t low = shuffle(static_cast<std::uint32_t>(address), row);
    return low | static_cast<std::uint64_t>(shuffle(static_cast<std::uint32_t>(address >> 32), row)) << 32;
  }

  // Rows of a size known beforehand, in pieces by as many lanes. Of blocks 16 (8) of the 17 (9) pieces of a row, the
  // last ones of all rows together.
  static constexpr int kPieceBytes = Tile::kSwizzled ? 16 : kHeadDim / 16;
  static constexpr int kPieces = Tile::kSwizzled ? kHeadDim / 8 : kBlocks ? Tile::kRowBytes / kPieceBytes - 1 : 32;
  static constexpr int kRowsAtOnce = 32 / kPieces;

  /// Where a lane's piece of a row goes.
  static __device__ __forceinline__ int place(int row, int piece) {
    if constexpr (Tile::kSwizzled) {
      return row * Tile::kPitch + Swizzle<kHeadDim>::chunk(piece, Swizzle<kHeadDim>::of_row(row));
    } else {
      return row * Tile::kPitch + piece * kPieceBytes;
    }
  }
  __device__ __forceinline__ void copy_last(unsigned char* to, std::uint64_t row, bool valid) const {
    if constexpr (kBlocks) {
      copy_async<kPieceBytes>(to + lane * Tile::kPitch + kPieces * kPieceBytes,
                              reinterpret_cast<const std::uint8_t*>(row) + kPieces * kPieceBytes, valid);
    }
  }

  /// All rows are seen and lie in one page: they are as far from each other as positions are.
  __device__ __forceinline__ void copy_of_one_page(unsigned char* to, std::uint64_t page, int first) const {
    const int piece = lane % kPieces, row = lane / kPieces, stride = cache.kv_heads * bytes.row;
    const bool valid = !Tile::kSwizzled || piece < cache.head_dim / 8;
    const std::uint64_t in_page = static_cast<std::uint64_t>(place_in_page(cache, bytes, first, kv_head));
#pragma unroll
    for (int value = 0; value < 2; ++value) {
      const auto* from = reinterpret_cast<const std::uint8_t*>(address_of(page, value * 16) + in_page) +
                         static_cast<std::int64_t>(row) * stride + piece * kPieceBytes;
#pragma unroll
      for (int i = 0; i < 16 / kRowsAtOnce; ++i) {
        copy_async<kPieceBytes>(to + place(value * 16 + i * kRowsAtOnce + row, piece), from, valid);
        from += kRowsAtOnce * stride;
      }
    }
    copy_last(to, page + in_page + static_cast<std::uint64_t>(lane % 16 * static_cast<std::int64_t>(stride)), true);
  }

  /// Rows of any addresses, zero where there is none.
  __device__ __forceinline__ void copy_rows(unsigned char* to, std::uint64_t address) const {
    const int piece = lane % kPieces;
    const bool within = !Tile::kSwizzled || piece < cache.head_dim / 8;
#pragma unroll 1
    for (int i = warp; i < 32 / kRowsAtOnce; i += warps) {
      const int row = i * kRowsAtOnce + lane / kPieces;
      const std::uint64_t from = address_of(address, row);
      copy_async<kPieceBytes>(to + place(row, piece), reinterpret_cast<const std::uint8_t*>(from) + piece * kPieceBytes,
                              from != 0 && within);
    }
    if (warp == 0) copy_last(to, address, address != 0);
  }

  /// Rows one after the other, with what their addresses and sizes allow.
  __device__ __forceinline__ void copy_any(unsigned char* to, std::uint64_t address) const {
    switch (bytes.piece) {
      case 16: return copy_row_by_row<16>(to, address);
      case 8: return copy_row_by_row<8>(to, address);
      default: return copy_row_by_row<4>(to, address);
    }
  }
  template <int kPiece>
  __device__ __forceinline__ void copy_row_by_row(unsigned char* to, std::uint64_t address) const {
    if (kPiece == 4 && bytes.row % 4 != 0 && warp == 0) {
      store_as(to + lane * Tile::kPitch + kSkewAt, static_cast<std::uint32_t>(address % 4));
    }
#pragma unroll 1
    for (int row = warp; row < 32; row += warps) {
      const std::uint64_t from = address_of(address, row);
      const int skew = kPiece == 4 ? static_cast<int>(from % 4) : 0;
#pragma unroll 1
      for (int at = lane * kPiece; at < bytes.row + skew; at += 32 * kPiece) {
        copy_async<kPiece>(to + row * Tile::kPitch + at, reinterpret_cast<const std::uint8_t*>(from) - skew + at,
                           from != 0);
      }
    }
  }

  /// A row of an odd number of blocks begins on two bytes: it is moved to its place, and what came with it is zero.
  static __device__ __forceinline__ void straighten_words(unsigned char* row, int words, int skew) {
#pragma unroll 1
    for (int i = 0; i < words; ++i) {
      const auto word = load_as<std::uint32_t>(row + i * 4);
      const std::uint32_t next = i + 1 < words ? load_as<std::uint32_t>(row + i * 4 + 4) : 0;
      const bool last = i + 1 == words;
      store_as(row + i * 4, skew != 0 ? choose_bytes(word, next, 0x5432u) : last ? word & 0xFFFFu : word);
    }
  }
  __device__ __forceinline__ void straighten(unsigned char* row) const {
    straighten_words(row, (bytes.row + 2) / 4, load_as<std::int32_t>(row + kSkewAt));
  }
};

}  // namespace powerhouse::cuda
