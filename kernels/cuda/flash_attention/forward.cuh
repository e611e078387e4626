// Flash attention, forward (Dao 2023): a block holds a tile of query rows and walks over the tiles of keys they see.
//
// Tiles run from the right, so that those a mask cuts at the end or the diagonal come first, then those seen whole,
// then those that a window cuts. While scores of a tile are made its values are on their way, and while they are used
// the keys of the next. Memory: shared holds queries, keys and values of one tile each; scores and output stay in
// registers, which is why nothing else may: what a thread can compute again it does not keep over the loop, and what
// all threads share lies in shared memory.
#pragma once

#include "kernels/cuda/flash_attention/copy.cuh"
#include "kernels/cuda/flash_attention/document.cuh"
#include "kernels/cuda/flash_attention/dropout.cuh"
#include "kernels/cuda/flash_attention/mask.cuh"
#include "kernels/cuda/flash_attention/params.h"
#include "kernels/cuda/flash_attention/products.cuh"
#include "kernels/cuda/flash_attention/scores.cuh"
#include "kernels/cuda/flash_attention/softmax.cuh"
#include "kernels/cuda/flash_attention/swizzle.cuh"
#include "kernels/cuda/flash_attention/tile.h"

namespace powerhouse::cuda {

/// A warp's products over the block's tiles.
template <int kHeadDim, typename Element>
struct WarpProducts {
  using Tile = FlashForwardTile<kHeadDim>;
  static constexpr int kRowBlocks = Tile::kRowBlocks;
  using Queries = std::uint32_t[kRowBlocks][4];

  LaneRow<kHeadDim> queries, keys, values;

  __device__ __forceinline__ WarpProducts(const unsigned char* shared, int warp, int lane)
      : queries(LaneRow<kHeadDim>::below(shared + warp * Tile::kWarpRows * Tile::kBytesOfRow, lane)),
        keys(LaneRow<kHeadDim>::beside(shared + Tile::kBlockM * Tile::kBytesOfRow, lane)),
        values(LaneRow<kHeadDim>::below(shared + (Tile::kBlockM + Tile::kBlockN) * Tile::kBytesOfRow, lane)) {}

  __device__ __forceinline__ void load_queries(int step, Queries& fragments) const {
#pragma unroll
    for (int block = 0; block < kRowBlocks; ++block) load_matrix_x4(fragments[block], queries.chunk(block, step * 2));
  }

  /// scores += q k^T of one step of 16 along head_dim.
  __device__ __forceinline__ void score_step(int step, const Queries& q,
                                             float (&scores)[kRowBlocks][Tile::kScoreColumns][4]) const {
    add_products_with_rows<Element>(step, q, keys, scores);
  }

  /// out += weights v.
  __device__ __forceinline__ void weigh_values(const float (&weights)[kRowBlocks][Tile::kScoreColumns][4],
                                               float (&out)[kRowBlocks][Tile::kOutColumns][4]) const {
#pragma unroll
    for (int step = 0; step < Tile::kBlockN / 16; ++step) {
      std::uint32_t w[kRowBlocks][4];
#pragma unroll
      for (int block = 0; block < kRowBlocks; ++block) round_to_left<Element>(step, weights[block], w[block]);
      add_products_with_columns<Element>(step, w, values, out, [](int n) { return n; });
    }
  }
};

/// The part of the problem that a thread works on, read anew from the hardware.
template <int kHeadDim>
struct FlashPlace {
  int thread, lane, warp, first, head, document;  // first: of the block's query rows

  __device__ __forceinline__ FlashPlace() {
    const Place place = read_place();
    thread = place.thread;
    lane = thread & 31;
    warp = thread >> 5;
    // The last rows of a causal document see most keys, so they begin first.
    first = (static_cast<int>(gridDim.x) - 1 - place.block_x) * FlashForwardTile<kHeadDim>::kBlockM;
    head = place.block_y;
    document = place.block_z;
  }
};

/// One document and head, as the block that works on them sees it: where its rows begin, and how many there are.
struct FlashDocument {
  std::int64_t q, k, v, out, lse;  // elements from the tensors' beginnings
  int queries, keys;

  __device__ __forceinline__ FlashDocument(const FlashForwardParams& p, int batch, int head) {
    const int kv_head = head / (p.heads / p.kv_heads);
    const FlashRows rows(p, batch);
    queries = rows.queries;
    keys = rows.keys;
    q = rows.of_queries(p.q_strides, head);
    k = rows.of_keys(p.k_strides, kv_head);
    v = rows.of_keys(p.v_strides, kv_head);
    out = rows.of_queries(p.out_strides, head);
    lse = rows.of_lse(p, head);
  }
};

/// Divides by the sums, stores lse, and stores the warp's rows in pieces of 16 bytes by way of shared memory: straight
/// from fragments a request would touch twice the sectors. Where it
/// stands is computed again: kept through the loop, it would cost it registers.
template <int kHeadDim, typename Element>
static __device__ __forceinline__ void store_rows(
    const FlashForwardParams& p, float unit, RunningSoftmax<FlashForwardTile<kHeadDim>::kRowBlocks>& softmax,
    float (&out)[FlashForwardTile<kHeadDim>::kRowBlocks][FlashForwardTile<kHeadDim>::kOutColumns][4],
    unsigned char* shared) {
  using Tile = FlashForwardTile<kHeadDim>;
  using Lay = Swizzle<kHeadDim>;
  const FlashPlace<kHeadDim> place;
  const FlashDocument document(p, place.document, place.head);
  const int lane = place.lane, first = place.first + place.warp * Tile::kWarpRows;
  unsigned char* staging = shared + place.warp * Tile::kWarpRows * Tile::kBytesOfRow;  // the warp's own
  const bool has_sink = p.sinks != nullptr;
  const float sink = has_sink ? p.sinks[place.head] : 0.0f;
#pragma unroll
  for (int part = 0; part < Tile::kRowBlocks * 2; ++part) {
    const int row = part * 8 + lane / 4;
    float lse;
    const float factor = softmax.finish(part, unit, has_sink, sink, lse) * p.dropout.kept;
    if (lane % 4 == 0 && first + row < document.queries) p.lse[document.lse + first + row] = lse;
#pragma unroll
    for (int n = 0; n < Tile::kOutColumns; ++n) {
      const float(&pair)[4] = out[part / 2][n];
      *reinterpret_cast<std::uint32_t*>(staging + row * Tile::kBytesOfRow + Lay::chunk(n, Lay::of_row(lane / 4)) +
                                        lane % 4 * 4) =
          pack(pair[part % 2 * 2] * factor, pair[part % 2 * 2 + 1] * factor, Element{});
    }
  }
  sync_warp();
  constexpr int kRows = 32 / Lay::kChunks;
  const int chunk = lane % Lay::kChunks;
  auto* to = static_cast<bfloat16*>(p.out) + document.out;
#pragma unroll
  for (int pass = 0; pass < Tile::kWarpRows / kRows; ++pass) {
    const int row = pass * kRows + lane / Lay::kChunks;
#pragma unroll
    for (int segment = 0; segment < Lay::kSegments; ++segment) {
      const int column = segment * Lay::kChunks + chunk;
      if (first + row >= document.queries || column * 8 >= p.head_dim) continue;
      *reinterpret_cast<Chunk*>(to + (first + row) * p.out_strides.row + column * 8) =
          *reinterpret_cast<const Chunk*>(staging + row * Tile::kBytesOfRow + Lay::chunk(column, Lay::of_row(row)));
    }
  }
}

/// What all threads of a block need for each tile. It lies in shared memory, since scores and output leave no
/// registers.
template <int kHeadDim>
struct FlashKept {
  std::int64_t k, v;  // elements from the tensors' beginnings
  int first;          // of the block's query rows
  SeenKeys seen;
  SeenTiles<FlashForwardTile<kHeadDim>::kBlockN> tiles;
  std::int64_t dropout_row;  // where the dropout counts the document's first query of the head

  __device__ __forceinline__ FlashKept(const FlashForwardParams& p, const FlashDocument& document,
                                       const FlashPlace<kHeadDim>& place)
      : k(document.k),
        v(document.v),
        first(place.first),
        seen{document.queries, document.keys, document.keys - document.queries, SeenKeys::reach(p.window_left),
             SeenKeys::reach(p.window_right)},
        tiles(seen, first, smaller(first + FlashForwardTile<kHeadDim>::kBlockM, document.queries) - 1),
        dropout_row((static_cast<std::int64_t>(place.document) * p.heads + place.head) * p.queries) {}
};
static_assert(sizeof(FlashKept<128>) <= kFlashKeptBytes);

/// Grid: tiles of query rows, heads, documents. kModified: there is a softcap, ALiBi or dropout.
template <int kHeadDim, typename Element, bool kModified>
__global__ void __launch_bounds__(FlashForwardTile<kHeadDim>::kThreads)
    flash_forward_kernel(const FlashForwardParams p) {
  using Tile = FlashForwardTile<kHeadDim>;
  using Copy = TileCopy<kHeadDim, Tile::kThreads>;
  constexpr int kBlockN = Tile::kBlockN;
  const FlashPlace<kHeadDim> place;
  const FlashDocument document(p, place.document, place.head);
  if (place.first >= document.queries) return;

  unsigned char* s_q = shared_memory();                          // [kBlockM, kHeadDim]
  unsigned char* s_k = s_q + Tile::kBlockM * Tile::kBytesOfRow;  // [kBlockN, kHeadDim]
  unsigned char* s_v = s_k + kBlockN * Tile::kBytesOfRow;        // [kBlockN, kHeadDim]
  auto& kept = *reinterpret_cast<FlashKept<kHeadDim>*>(s_v + kBlockN * Tile::kBytesOfRow);
  constexpr float kLog2E = 1.4426950408889634f;
  const float unit = kModified ? kLog2E : p.scale * kLog2E;  // of scores, for exp2
  const float slope = kModified && p.alibi_slopes != nullptr ? p.alibi_slopes[place.head] : 0.0f;

  float out[Tile::kRowBlocks][Tile::kOutColumns][4] = {};
  RunningSoftmax<Tile::kRowBlocks> softmax;
  constexpr int kKept = Tile::kQueriesInRegisters ? Tile::kKeySteps : 1;
  std::uint32_t q[kKept][Tile::kRowBlocks][4];
  int tile;

  const auto walk = [&](auto kind) {
    constexpr bool kMasked = decltype(kind)::kValue;
    // Its own number, though the compiler cannot know that: what follows from it is computed again for each tile,
    // instead of holding registers through the loop.
    const int thread = shuffle_xor(place.thread, 0), lane = thread & 31, warp = thread >> 5;
    const WarpProducts<kHeadDim, Element> products(s_q, warp, lane);
    const Copy copy_v(p.v, kept.v, p.v_strides.row, p.head_dim, thread);
    copy_v.template load<kBlockN, kMasked>(s_v, tile * kBlockN, kept.seen.keys);
    copy_async_commit();
    float scores[Tile::kRowBlocks][Tile::kScoreColumns][4] = {};
#pragma unroll
    for (int step = 0; step < Tile::kKeySteps; ++step) {
      if (!Tile::kQueriesInRegisters) products.load_queries(step, q[0]);
      products.score_step(step, q[Tile::kQueriesInRegisters ? step : 0], scores);
    }
    wait_for_copies();  // the values; and no warp reads this tile's keys any more
    if (tile > kept.tiles.begin) {
      const Copy copy_k(p.k, kept.k, p.k_strides.row, p.head_dim, thread);
      copy_k.template load<kBlockN, false>(s_k, (tile - 1) * kBlockN, kept.seen.keys);
    }
    copy_async_commit();
    const int row = kept.first + warp * Tile::kWarpRows + lane / 4, column = tile * kBlockN + lane % 4 * 2;
    if (kModified) {
      modify_scores(scores, ScoreChange(p.scale, p.softcap), slope, row + kept.seen.offset, column);
    }
    if (kMasked) mask_scores(scores, kept.seen, row, column);
    softmax.add(scores, out, unit);
    if (kModified && p.dropout.threshold != 0) {
      const std::int64_t first_row = kept.dropout_row + kept.first + warp * Tile::kWarpRows;
      drop_weights(scores, p.dropout, first_row, (p.keys + 7) / 8, tile * (kBlockN / 8), lane);
    }
    products.weigh_values(scores, out);
    wait_for_copies();  // the next keys; and no warp reads these values any more
  };

  const FlashKept<kHeadDim> found(p, document, place);
  tile = found.tiles.end - 1;
  if (tile >= found.tiles.begin) {
    if (place.thread == 0) kept = found;
    const Copy copy_q(p.q, document.q, p.q_strides.row, p.head_dim, place.thread);
    const Copy copy_k(p.k, document.k, p.k_strides.row, p.head_dim, place.thread);
    copy_q.template load<Tile::kBlockM, true>(s_q, place.first, document.queries);
    copy_k.template load<kBlockN, true>(s_k, tile * kBlockN, document.keys);
    copy_async_commit();
    wait_for_copies();
    if (Tile::kQueriesInRegisters) {
      const WarpProducts<kHeadDim, Element> products(s_q, place.warp, place.lane);
#pragma unroll
      for (int step = 0; step < kKept; ++step) products.load_queries(step, q[step]);
    }
    do {  // cut, whole, cut: either body stands in the code once
      for (; tile >= kept.tiles.begin && !kept.tiles.whole(tile); --tile) walk(Masked<true>{});
      for (; tile >= kept.tiles.begin && kept.tiles.whole(tile); --tile) walk(Masked<false>{});
    } while (tile >= kept.tiles.begin);
  }
  store_rows<kHeadDim, Element>(p, unit, softmax, out, s_q);
}

}  // namespace powerhouse::cuda
