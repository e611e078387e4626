// Attention of a few new rows of each sequence over a paged cache, split over its length (flash-decoding, Dao et al.
// 2023). A block takes query vectors that read one key-value head and a run of parts of 256 positions. While a tile of
// keys and values is used the next one is on its way; addresses of its rows come from the tables a tile earlier still.
//
// Every part is summed by itself and by positions alone, so that a row's bits follow from nothing else of a launch.
#pragma once

#include "kernels/cuda/paged_attention/part_sums.cuh"
#include "kernels/cuda/paged_attention/products.cuh"

namespace powerhouse::cuda {

/// What all threads of a block know, in shared memory: the output leaves no registers for it.
struct PagedKept {
  PagedVectors vectors;
  int begin, end;  // positions that are seen
};

/// Shared memory of a block.
template <typename T, int kHeadDim, bool kConverted>
struct PagedRoom {
  using Tile = PagedTile<T, kHeadDim>;
  unsigned char* base;

  /// Keys, or values, of a tile as the products read them: two tiles by turns where copies come there.
  __device__ __forceinline__ unsigned char* tile(int turn, int value) const {
    return base + ((kConverted ? 0 : turn % 2) * 2 + value) * Tile::kTileBytes;
  }
  __device__ __forceinline__ unsigned char* raw(int turn, int value) const {
    return base + 2 * Tile::kTileBytes + (turn % 2 * 2 + value) * Tile::kRawTileBytes;
  }
  __device__ __forceinline__ std::uint64_t* addresses(int turn, int value) const {
    return reinterpret_cast<std::uint64_t*>(base + Tile::template kCopyBytes<kConverted>) +
           (turn % Tile::kAddressTiles * 2 + value) * Tile::kKeys;
  }
  __device__ __forceinline__ Stat* stats() const {
    return reinterpret_cast<Stat*>(base + Tile::template kCopyBytes<kConverted> + Tile::kAddressBytes);
  }
  __device__ __forceinline__ ScoredVector* scored() const {
    return reinterpret_cast<ScoredVector*>(stats() + Tile::kStatBytes / sizeof(Stat));
  }
  __device__ __forceinline__ PagedKept& kept() const {
    return *reinterpret_cast<PagedKept*>(scored() + Tile::kMostVectors);
  }
  __device__ __forceinline__ unsigned char* queries() const { return base + Tile::template kQueriesAt<kConverted>; }
};

/// The block's tiles of keys and values on their way.
template <typename T, int kHeadDim, bool kConverted>
struct PagedTiles {
  using Tile = PagedTile<T, kHeadDim>;
  static_assert(Tile::kStrips * 32 >= 2 * Tile::kKeys);

  const PagedCache& cache;
  const PagedBytes& bytes;
  PagedRoom<T, kHeadDim, kConverted> room;

  /// Address of the row that this thread looks up for a tile: a key's, or a value's. Zero where nobody sees it.
  __device__ __forceinline__ std::uint64_t address(int tile) const {
    const int thread = static_cast<int>(threadIdx.x), position = tile * Tile::kKeys + thread % Tile::kKeys;
    const PagedKept& kept = room.kept();
    if (thread >= 2 * Tile::kKeys || position < kept.begin || position >= kept.end) return 0;
    void* const* const pages =
        (thread < Tile::kKeys ? cache.key_pages : cache.value_pages) + blockIdx.z * cache.table_stride;
    return reinterpret_cast<std::uint64_t>(paged_row(cache, bytes, pages, position, kept.vectors.kv_head));
  }
  __device__ __forceinline__ void keep_address(int tile, std::uint64_t address) const {
    const int thread = static_cast<int>(threadIdx.x);
    if (thread < 2 * Tile::kKeys) room.addresses(tile, thread / Tile::kKeys)[thread % Tile::kKeys] = address;
  }
  /// Also commits, where there is nothing to copy too: waits count.
  __device__ __forceinline__ void start(int tile, int end_tile) const {
    for (int value = 0; value < 2 && tile < end_tile; ++value) {
      const std::uint64_t* const rows = room.addresses(tile, value);
      if constexpr (kConverted) {
        start_raw_rows<T, kHeadDim>(room.raw(tile, value), rows, bytes);
      } else {
        start_rows<T, kHeadDim>(room.tile(tile, value), rows, cache.head_dim);
      }
    }
    copy_async_commit();
  }
  /// The first tile, and the addresses of the next.
  __device__ __forceinline__ void start_first(int tile, int end_tile) const {
    keep_address(tile, address(tile));
    keep_address(tile + 1, address(tile + 1));
    sync_block();
    start(tile, end_tile);
  }
  /// Waits for a tile behind which one more was started.
  __device__ __forceinline__ void wait(int tile) const {
    copy_async_wait<1>();
    sync_block();
    if constexpr (kConverted) {
      for (int value = 0; value < 2; ++value) {
        convert_rows<T, kHeadDim>(room.tile(tile, value), room.raw(tile, value), room.addresses(tile, value),
                                  cache.type, cache.head_dim);
      }
      sync_block();
    }
  }
};

/// The block's query vectors; zeros behind head_dim and where there are none.
template <typename T, int kHeadDim>
static __device__ __forceinline__ void start_queries(const PagedAttentionParams& p, const PagedVectors& vectors,
                                                     unsigned char* queries, int rows) {
  using Lay = PagedSwizzle<T, kHeadDim>;
  constexpr int kChunks = kHeadDim * static_cast<int>(sizeof(T)) / 16;
  for (int i = static_cast<int>(threadIdx.x); i < rows * kChunks; i += static_cast<int>(blockDim.x)) {
    const int vector = i / kChunks, chunk = i % kChunks;
    const bool valid = vector < vectors.count && chunk * kWidest<T> < p.cache.head_dim;
    const T* from = static_cast<const T*>(p.q);
    if (valid) {
      from += (vectors.sequence.first_row + vectors.row(vector)) * p.q_row_stride +
              vectors.head(vector) * p.q_head_stride + chunk * kWidest<T>;
    }
    copy_async<16>(queries + vector * kHeadDim * static_cast<int>(sizeof(T)) + Lay::chunk(chunk, Lay::of_row(vector)),
                   from, valid);
  }
}

/// Grid: blocks that share the parts of a sequence; blocks of vectors times key-value heads; sequences.
template <typename T, int kHeadDim, bool kConverted>
__global__ void __launch_bounds__(PagedTile<T, kHeadDim>::kMostThreads)
    paged_attention_kernel(const PagedAttentionParams p, const PagedPlan plan) {
  using Tile = PagedTile<T, kHeadDim>;
  constexpr int kTilesOfPart = kPagedPart / Tile::kKeys;
  const PagedVectors vectors(p, plan);
  if (vectors.count <= 0) return;
  if (blockIdx.x == 0) store_nothing<T>(p, vectors);
  const SeenPositions seen = vectors.all_seen(p.window);
  const int first_part = seen.first_part() + static_cast<int>(blockIdx.x) * plan.run;
  const int begin = larger(seen.begin, first_part * kPagedPart);
  const int end = smaller(seen.end, (first_part + plan.run) * kPagedPart);
  if (begin >= end) return;

  const PagedRoom<T, kHeadDim, kConverted> room{shared_memory()};
  const PagedTiles<T, kHeadDim, kConverted> tiles{p.cache, plan.bytes, room};
  const int thread = static_cast<int>(threadIdx.x);
  const int end_tile = (end + Tile::kKeys - 1) / Tile::kKeys;
  int tile = begin / Tile::kKeys;
  if (thread == 0) room.kept() = {vectors, begin, end};
  if (thread < plan.vector_tiles * Tile::kVectors) ScoredVector(p, vectors, thread).keep(room.scored() + thread);
  start_queries<T, kHeadDim>(p, vectors, room.queries(), plan.vector_tiles * Tile::kVectors);
  sync_block();
  tiles.start_first(tile, end_tile);

  float out[Tile::kOutColumns][4] = {};
  StripSoftmax softmax;
  for (; tile < end_tile; ++tile) {
    const std::uint64_t address = tiles.address(tile + 2);
    tiles.start(tile + 1, end_tile);
    tiles.wait(tile);
    // Its own number, though the compiler cannot know that: what follows from it is computed again for each tile,
    // instead of holding registers through the loop.
    const int own = shuffle_xor(thread, 0), lane = own % 32, warp = own / 32;
    const int strip = warp % Tile::kStrips, vector = warp / Tile::kStrips * Tile::kVectors + lane / 4;
    const StripProducts<T, kHeadDim> products{
        lane, room.queries() + warp / Tile::kStrips * Tile::kVectors * Tile::kBytesOfRow};
    const int first_row = strip * 16 * Tile::kBytesOfRow;
    float scores[Tile::kScoreColumns][4] = {};
    products.score(room.tile(tile, 0) + first_row, scores);
    const int position = tile * Tile::kKeys + strip * 16 + lane % 4 * 2;
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      ScoredVector(room.scored() + vector + half * 8).score(p, scores, half, position);
    }
    softmax.add(scores, out);
    products.weigh(room.tile(tile, 1) + first_row, scores, out);
    tiles.keep_address(tile + 2, address);
    sync_block();  // no warp reads this tile any more
    if ((tile + 1) % kTilesOfPart != 0 && tile + 1 != end_tile) continue;
    const PartSums<T, kHeadDim> sums{reinterpret_cast<float*>(room.tile(tile, 0)), room.stats()};
    sums.add(softmax, out, strip, vector, lane);
    sums.store(p, plan, room.kept().vectors, tile / kTilesOfPart);
    sync_block();  // the next copies go where the sums stand
    softmax = {};
#pragma unroll
    for (int n = 0; n < Tile::kOutColumns; ++n) {
#pragma unroll
      for (int e = 0; e < 4; ++e) out[n][e] = 0.0f;
    }
  }
  copy_async_wait<0>();
}

}  // namespace powerhouse::cuda
