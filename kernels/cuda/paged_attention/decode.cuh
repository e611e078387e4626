// Attention of a few new rows of each sequence over a paged cache, split over its length (flash-decoding, Dao et al.
// 2023). A block takes query vectors that read one key-value head and a run of parts of 256 positions, its strips every
// fourth 16 of them. While a strip's tile of keys and values is used the next ones are on their way; addresses of their
// rows come from the tables a tile earlier still.
//
// Every part is summed by itself and by positions alone, so that a row's bits follow from nothing else of a launch.
#pragma once

#include "kernels/cuda/paged_attention/block_products.cuh"
#include "kernels/cuda/paged_attention/lane_products.cuh"
#include "kernels/cuda/paged_attention/part_sums.cuh"
#include "kernels/cuda/paged_attention/strip_ring.cuh"

namespace powerhouse::cuda {

template <typename T, int kHeadDim, typename Cells, int kColumns>
struct ProductsOf {
  using Type = BlockProducts<T, kHeadDim, Cells, kColumns>;
};
template <typename T, int kHeadDim, int kColumns>
struct ProductsOf<T, kHeadDim, OwnCells, kColumns> {
  using Type = OwnProducts<T, kHeadDim, OwnCells, kColumns>;
};
template <int kHeadDim, int kColumns>
struct ProductsOf<float, kHeadDim, AnyCells, kColumns> {
  using Type = LaneProducts<kHeadDim, kColumns>;
};

/// What all threads of a block know, in shared memory: the output leaves no registers for it.
struct PagedKept {
  PagedVectors vectors;
  int begin, end;  // positions that are seen
};

/// Shared memory of a block.
template <typename Tile>
struct PagedRoom {
  unsigned char* base;

  __device__ __forceinline__ unsigned char* ring(int strip) const {
    return base + strip * Tile::kStages * Tile::kStageBytes;
  }
  __device__ __forceinline__ Stat* stats() const { return reinterpret_cast<Stat*>(base + Tile::kRingBytes); }
  __device__ __forceinline__ ScoredVector* scored() const {
    return reinterpret_cast<ScoredVector*>(base + Tile::kRingBytes + Tile::kStatBytes);
  }
  __device__ __forceinline__ PagedKept& kept() const {
    static_assert(sizeof(PagedKept) <= Tile::kKeptBytes);
    return *reinterpret_cast<PagedKept*>(base + Tile::kSumsAt - Tile::kKeptBytes);
  }
  __device__ __forceinline__ float* sums(int tile) const {
    const int in_ring = tile % Tile::kStages * Tile::kStageBytes;
    return reinterpret_cast<float*>(base + (Tile::kSumsInRing ? in_ring : Tile::kSumsAt));
  }
  __device__ __forceinline__ unsigned char* queries() const { return base + Tile::kQueriesAt; }
};

/// Which strip's keys a warp takes, and which of the block's vectors.
template <typename Tile>
struct PagedWarp {
  int lane, strip, vector_tile;

  __device__ __forceinline__ explicit PagedWarp(int thread)
      : lane(thread % 32), strip(thread / 32 % Tile::kStrips), vector_tile(thread / 32 / Tile::kStrips) {}

  template <typename Cells>
  __device__ __forceinline__ StripRing<Tile, Cells> ring(const PagedAttentionParams& p, const PagedPlan& plan,
                                                         const PagedRoom<Tile>& room, const PagedKept& kept) const {
    return {.cache = p.cache,
            .bytes = plan.bytes,
            .kv_head = kept.vectors.kv_head,
            .begin = kept.begin,
            .end = kept.end,
            .lane = lane,
            .strip = strip,
            .warp = vector_tile,
            .warps = Tile::kMostVectorTiles == 1 ? 1 : plan.vector_tiles,
            .ring = room.ring(strip)};
  }
};

/// One element of a query vector as it lies there; zero behind head_dim and where there is no vector.
template <typename T>
static __device__ __forceinline__ T query_at(const PagedAttentionParams& p, const PagedVectors& vectors, int vector,
                                             int d) {
  if (vector >= vectors.count || d >= p.cache.head_dim) return T{};
  return static_cast<const T*>(p.q)[(vectors.sequence.first_row + vectors.row(vector)) * p.q_row_stride +
                                    vectors.head(vector) * p.q_head_stride + d];
}

/// The block's query vectors, in the order in which lanes read them as the second operand of products.
template <typename T, int kHeadDim, typename Products, int kColumns>
static __device__ __forceinline__ void load_queries(const PagedAttentionParams& p, const PagedVectors& vectors,
                                                    unsigned char* queries, int count) {
  if constexpr (sizeof(T) == 4) {
    constexpr int kPitch = Products::Tile::kQueryPitch;
    for (int i = static_cast<int>(threadIdx.x); i < count * kHeadDim; i += static_cast<int>(blockDim.x)) {
      const int vector = i / kHeadDim, d = i % kHeadDim;
      reinterpret_cast<float*>(queries)[vector * kPitch + d] = query_at<float>(p, vectors, vector, d);
    }
  } else {
    constexpr int kBlocks = kHeadDim / 32;
    for (int i = static_cast<int>(threadIdx.x); i < count * kBlocks * 4; i += static_cast<int>(blockDim.x)) {
      const int lane = i % 32, column = i / 32 % kColumns, block = i / (32 * kColumns) % kBlocks;
      const int vector = (i / (32 * kColumns * kBlocks) * kColumns + column) * 8 + lane / 4;
      Words words;
#pragma unroll
      for (int word = 0; word < 4; ++word) {
        std::uint32_t pair[2];
#pragma unroll
        for (int half = 0; half < 2; ++half) {
          pair[half] =
              query_at<T>(p, vectors, vector, block * 32 + Products::query_element(block, lane % 4, word, half)).bits;
        }
        words.word[word] = pair[0] | pair[1] << 16;
      }
      store_words(queries + i * 16, words);
    }
  }
}

/// Grid: key-value heads times blocks of vectors; blocks that share the parts of a sequence; sequences.
template <typename T, int kHeadDim, typename Cells, int kColumns>
__global__ void __launch_bounds__(PagedTile<T, kHeadDim, Cells, kColumns>::kMostThreads,
                                  PagedTile<T, kHeadDim, Cells, kColumns>::kLeastBlocks)
    paged_attention_kernel(const PagedAttentionParams p, const PagedPlan plan) {
  using Tile = PagedTile<T, kHeadDim, Cells, kColumns>;
  using Products = typename ProductsOf<T, kHeadDim, Cells, kColumns>::Type;
  constexpr int kTilesOfPart = kPagedPart / Tile::kKeys;
  const PagedVectors vectors(p, plan);
  if (vectors.count <= 0) return;
  if (blockIdx.y == 0) store_nothing(p, vectors);
  const SeenPositions seen = vectors.all_seen(p.window);
  const int first_part = seen.first_part() + static_cast<int>(blockIdx.y) * plan.run;
  const int begin = larger(seen.begin, first_part * kPagedPart);
  const int end = smaller(seen.end, (first_part + plan.run) * kPagedPart);
  if (begin >= end) return;

  const PagedRoom<Tile> room{shared_memory()};
  int tile = begin / Tile::kKeys;
  {
    const PagedWarp<Tile> warp(static_cast<int>(threadIdx.x));
    const auto ring = warp.template ring<Cells>(p, plan, room, {vectors, begin, end});
    static_assert(Tile::kStages == 2);
    std::uint64_t pages[Tile::kStages];
#pragma unroll
    for (int i = 0; i < Tile::kStages; ++i) pages[i] = ring.page(tile + i);
    ring.clear();
#pragma unroll 1
    for (int i = 0; i < Tile::kStages; ++i) ring.start(tile + i, i == 0 ? pages[0] : pages[1]);
  }
  if (threadIdx.x == 0) room.kept() = {vectors, begin, end};
  if (static_cast<int>(threadIdx.x) < plan.vectors()) {
    ScoredVector(p, vectors, static_cast<int>(threadIdx.x)).keep(room.scored() + threadIdx.x);
  }
  load_queries<T, kHeadDim, Products, kColumns>(p, vectors, room.queries(), plan.vectors());
  sync_block();

  float out[Tile::kOutTiles][kColumns][4] = {};
  StripSoftmax<kColumns> softmax;
  for (; tile * Tile::kKeys < room.kept().end; ++tile) {
    // Read anew for each tile, so that what follows from it holds no registers through the loop.
    const PagedWarp<Tile> warp(read_place().thread);
    const auto ring = warp.template ring<Cells>(p, plan, room, room.kept());
    // With many vectors no registers are left to keep it while the tile is used.
    std::uint64_t page = kColumns == 1 ? ring.page(tile + Tile::kStages) : 0;
    ring.wait(tile);
    const int vector = warp.vector_tile * kColumns * 8 + warp.lane % 4 * 2;
    if (ring.sees(tile)) {
      const unsigned char* const rows = ring.stage(tile);
      Products products;
      products.lane = warp.lane;
      products.queries = room.queries() + warp.vector_tile * kColumns * 8 * Tile::kQueryBytes;
      if constexpr (sizeof(T) == 4) {
        products.type = p.cache.type;
        products.head_dim = p.cache.head_dim;
      } else {
        products.is_bf16 = p.type == Element::bf16;
      }
      float scores[kColumns][4] = {};
      products.score(rows, scores);
      score_vectors<kColumns>(p, plan, room.scored() + vector, scores, ring.first_of(tile) + warp.lane / 4);
      softmax.add(scores, out);
      products.weigh(rows + 16 * Tile::kPitch, scores, out);
    }
    if (kColumns != 1) page = ring.page(tile + Tile::kStages);
    ring.sync();  // no warp of the strip reads this tile any more
    if constexpr (!Tile::kSumsInRing) ring.start(tile + Tile::kStages, page);
    if ((tile + 1) % kTilesOfPart == 0 || (tile + 1) * Tile::kKeys >= ring.end) {
      const PartSums<Products, Tile, kColumns> sums{room.sums(tile), room.stats()};
      sums.add(softmax, out, warp.strip, vector, warp.lane);
      sums.store(p, plan, room.kept().vectors, tile / kTilesOfPart);
      // The next part's stats and sums are written behind a barrier that all pass when they have stored.
      softmax = StripSoftmax<kColumns>();
#pragma unroll
      for (int m = 0; m < Tile::kOutTiles; ++m) {
#pragma unroll
        for (int n = 0; n < kColumns; ++n) {
#pragma unroll
          for (int i = 0; i < 4; ++i) out[m][n][i] = 0.0f;
        }
      }
      if constexpr (Tile::kSumsInRing) sync_block();  // the next copies go where the sums stand
    }
    if constexpr (Tile::kSumsInRing) ring.start(tile + Tile::kStages, page);
  }
  copy_async_wait<0>();
}

}  // namespace powerhouse::cuda
