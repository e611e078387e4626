// Flash attention, forward, for Hopper (Shah et al. 2024): a warp copies tiles, warpgroups multiply them.
//
// A block holds a tile of query rows, 64 for each warpgroup that multiplies, and walks over the tiles of keys they see,
// from the right as forward.cuh does. A warpgroup issues the product of its queries with a tile's keys before that of
// the weights before with their values; the softmax of the one runs while the tensor cores make the other. Warpgroups
// issue by turns, so that the softmax of one falls into the products of the others.
#pragma once

#include "kernels/cuda/flash_attention/document.cuh"
#include "kernels/cuda/flash_attention/hopper_params.h"
#include "kernels/cuda/flash_attention/hopper_shared.cuh"
#include "kernels/cuda/flash_attention/hopper_softmax.cuh"
#include "kernels/cuda/flash_attention/mask.cuh"
#include "kernels/cuda/flash_attention/products.cuh"
#include "kernels/cuda/flash_attention/scores.cuh"
#include "kernels/cuda/vectors.cuh"

namespace powerhouse::cuda {

/// Where a block is among the items: which of a head's it has, and of whom (hopper_params.h says in which order).
template <typename Tile>
struct HopperItem {
  int document = 0, head = 0, number = 0;

  /// The item of this number, which is not below the one before. False: there are not so many.
  __device__ __forceinline__ bool find(const HopperForwardParams& params, int item) {
    const FlashForwardParams& p = params.flash;
    int heads = p.heads * p.batch, tiles = params.row_tiles;
    if (p.cu_seqlens_q == nullptr) {
      if (item >= heads * (params.pairs ? (tiles + 1) / 2 : tiles)) return false;
      middle_ = params.pairs && item >= heads * (tiles / 2);
      if (middle_) item -= heads * (tiles / 2);
    } else {
      heads = p.heads;
      for (;; ++document) {
        if (document == p.batch) {
          if (middle_ || !params.pairs) return false;
          middle_ = true;
          document = 0;
        }
        tiles = (p.cu_seqlens_q[document + 1] - p.cu_seqlens_q[document] + Tile::kBlockM - 1) / Tile::kBlockM;
        const int count = heads * (!params.pairs ? tiles : middle_ ? tiles % 2 : tiles / 2);
        if (item - before_ < count) break;
        before_ += count;
      }
      item -= before_;
    }
    if (params.pairs && !middle_) {
      head = item / (tiles / 2);
      number = item % (tiles / 2);
    } else {
      head = item % heads;
      number = middle_ ? tiles / 2 : item / heads;
    }
    if (p.cu_seqlens_q == nullptr) {
      document = head / p.heads;
      head %= p.heads;
    }
    return true;
  }

 private:
  int before_ = 0;       // items of the packed documents before
  bool middle_ = false;  // they are the single tiles in the middle of documents
};

/// A tile of query rows of one document and head, and the keys that it sees.
template <typename Tile>
struct HopperPlace {
  int document, head, first;
  FlashRows rows;
  SeenKeys seen;
  SeenTiles<Tile::kBlockN> tiles;

  __device__ __forceinline__ HopperPlace(const FlashForwardParams& p, int document_, int head_, const FlashRows& rows_,
                                         int row_tile)
      : document(document_),
        head(head_),
        first(row_tile * Tile::kBlockM),
        rows(rows_),
        seen{rows.queries, rows.keys, rows.keys - rows.queries, SeenKeys::reach(p.window_left),
             SeenKeys::reach(p.window_right)},
        tiles(seen, first, smaller(first + Tile::kBlockM, rows.queries) - 1) {}

  __device__ __forceinline__ bool sees_keys() const { return tiles.begin < tiles.end; }
  /// The tiles that 64 rows of it see, none of them where there are no such rows.
  __device__ __forceinline__ SeenTiles<Tile::kBlockN> of_group(int group) const {
    const int begin = first + group * 64, end = smaller(begin + 64, rows.queries);
    SeenTiles<Tile::kBlockN> own(seen, begin, end - 1);
    own.end = begin < end ? smaller(own.end, tiles.end) : tiles.begin;
    own.begin = smaller(own.begin, own.end);
    return own;
  }
};

/// visitor(place) for each tile of query rows that the block takes. What follows from the number of the turn is
/// computed again for each, since registers are short while the visitor works.
template <typename Tile, typename Visitor>
static __device__ __forceinline__ void visit_tiles(const HopperForwardParams& params, const Visitor& visitor) {
  const int twice = params.pairs ? 1 : 0;
  HopperItem<Tile> item;
  for (int turn = 0;; ++turn) {
    const int block = static_cast<int>(blockIdx.x), blocks = static_cast<int>(gridDim.x), round = turn >> twice;
    const bool forth = params.pairs || round % 2 == 0;
    if (!item.find(params, round * blocks + (forth ? block : blocks - 1 - block))) break;
    const FlashRows rows(params.flash, item.document);
    const int mirrored = (rows.queries + Tile::kBlockM - 1) / Tile::kBlockM - 1 - item.number;
    const bool second = (turn & twice) != 0;
    if (second && mirrored == item.number) continue;  // the one in the middle
    visitor(HopperPlace<Tile>(params.flash, item.document, item.head, rows, second ? item.number : mirrored));
  }
}

/// Asks for the tiles that the block's warpgroups will read, in their order; by one thread.
template <typename Tile>
static __device__ __forceinline__ void copy_tiles(const HopperForwardParams& params, const HopperShared<Tile>& shared) {
  const FlashForwardParams& p = params.flash;
  HopperStage<typename HopperShared<Tile>::Queries> q(shared.q);
  HopperStage<typename HopperShared<Tile>::Keys> k(shared.k), v(shared.v);
  // Packed documents: hopper_tiles() says how rows and the last dimension count.
  const bool packed_q = p.cu_seqlens_q != nullptr, packed_k = p.cu_seqlens_k != nullptr;
  visit_tiles<Tile>(params, [&](const HopperPlace<Tile>& place) {
    const auto copy = [](auto& stage, int rows, const TensorMap& map, int row, int head, int outer) {
      stage.announce();
#pragma unroll
      for (int segment = 0; segment < Tile::kSegments; ++segment) {
        copy_tile(stage.tile() + segment * rows * 128, map, stage.full(), segment * 64, row, head, outer);
      }
      stage.next();
    };
    const FlashRows& rows = place.rows;
    copy(q, Tile::kBlockM, params.q, (packed_q ? p.queries - rows.queries : 0) + place.first, place.head,
         packed_q ? static_cast<int>(rows.q_row) + rows.queries : place.document);
    if (!place.sees_keys()) return;
    const int first = packed_k ? p.keys - rows.keys : 0, kv_head = place.head / (p.heads / p.kv_heads);
    const int outer = packed_k ? static_cast<int>(rows.k_row) + rows.keys : place.document;
    for (int tile = place.tiles.end; tile >= place.tiles.begin; --tile) {
      if (tile > place.tiles.begin) {
        copy(k, Tile::kBlockN, params.k, first + (tile - 1) * Tile::kBlockN, kv_head, outer);
      }
      if (tile < place.tiles.end) copy(v, Tile::kBlockN, params.v, first + tile * Tile::kBlockN, kv_head, outer);
    }
  });
}

/// Divides by the sums, stores lse, and stores a warp's 16 rows in pieces of 16 bytes by way of their queries' place in
/// shared memory: straight from fragments a request would touch twice the sectors.
template <typename Tile, typename Element>
static __device__ __forceinline__ void store_rows(const FlashForwardParams& p, const HopperPlace<Tile>& place,
                                                  float unit, HopperSoftmax& softmax,
                                                  float (&out)[Tile::kOutColumns][4], unsigned char* queries) {
  // Where the rows stand is computed again: kept through the loop, it would cost it registers.
  const int document = shuffle_xor(place.document, 0), thread = read_place().thread - 128;
  const int warp = thread / 32, lane = thread % 32, first = place.first + warp * 16;
  const FlashRows rows(p, document);
  unsigned char* staging = queries + warp * 16 * 128;
  const bool has_sink = p.sinks != nullptr;
  const float sink = has_sink ? p.sinks[place.head] : 0.0f;
  const std::int64_t lse_at = rows.of_lse(p, place.head);
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int row = half * 8 + lane / 4;
    float lse;
    const float factor = softmax.finish(half, unit, has_sink, sink, lse);
    if (lane % 4 == 0 && first + row < rows.queries) p.lse[lse_at + first + row] = lse;
#pragma unroll
    for (int n = 0; n < Tile::kOutColumns; ++n) {
      *reinterpret_cast<std::uint32_t*>(staging + n / 8 * Tile::kBlockM * 128 + row * 128 + (n % 8 ^ lane / 4) * 16 +
                                        lane % 4 * 4) =
          pack(out[n][half * 2] * factor, out[n][half * 2 + 1] * factor, Element{});
    }
  }
  sync_warp();
  auto* to = static_cast<bfloat16*>(p.out) + rows.of_queries(p.out_strides, place.head);
#pragma unroll
  for (int pass = 0; pass < Tile::kOutColumns / 2; ++pass) {
    const int row = (pass * 32 + lane) / Tile::kOutColumns, column = (pass * 32 + lane) % Tile::kOutColumns;
    if (first + row >= rows.queries || column * 8 >= p.head_dim) continue;
    store_words(to + (first + row) * p.out_strides.row + column * 8,
                load_words(staging + column / 8 * Tile::kBlockM * 128 + row * 128 + (column % 8 ^ row % 8) * 16));
  }
}

/// A warpgroup's products: issued, and then on their own until warpgroup_wait().
template <typename Tile, typename Element>
struct HopperProducts {
  static constexpr int kBlockM = Tile::kBlockM, kBlockN = Tile::kBlockN;
  using Scores = float[Tile::kScoreColumns][4];
  using Weights = std::uint32_t[kBlockN / 16][4];
  using Out = float[Tile::kOutColumns][4];

  /// scores = q k^T, of 64 rows.
  static __device__ __forceinline__ void score(Scores& scores, const unsigned char* queries,
                                               const unsigned char* keys) {
    const std::uint64_t q = operand(queries, 0), k = operand(keys, 0);
    keep_registers(scores);
    warpgroup_fence();
#pragma unroll
    for (int step = 0; step < Tile::kKeySteps; ++step) {
      multiply_warpgroup(scores, advance(q, step / 4 * kBlockM * 128 + step % 4 * 32),
                         advance(k, step / 4 * kBlockN * 128 + step % 4 * 32), step > 0, Element{});
    }
    warpgroup_commit();
  }
  /// out += weights v.
  static __device__ __forceinline__ void weigh_values(Out& out, const Weights& weights, const unsigned char* values) {
    const std::uint64_t v = operand(values, kBlockN * 128);
    keep_registers(out);
    warpgroup_fence();
#pragma unroll
    for (int step = 0; step < kBlockN / 16; ++step) {
      multiply_warpgroup(out, weights[step], advance(v, step * 16 * 128), true, Element{});
    }
    warpgroup_commit();
  }
};

/// What warpgroup `group` of those that multiply does.
template <typename Tile, typename Element>
static __device__ __forceinline__ void multiply_tiles(const HopperForwardParams& params,
                                                      const HopperShared<Tile>& shared, int group) {
  using Products = HopperProducts<Tile, Element>;
  constexpr int kBlockN = Tile::kBlockN;
  constexpr float kLog2E = 1.4426950408889634f;
  const FlashForwardParams& p = params.flash;
  const int thread = static_cast<int>(threadIdx.x) % 128, lane = thread % 32;
  const bool modified = p.softcap != 0.0f || p.alibi_slopes != nullptr;
  const float unit = modified ? kLog2E : p.scale * kLog2E;  // of scores, for exp2
  HopperStage<typename HopperShared<Tile>::Queries> q(shared.q);
  HopperStage<typename HopperShared<Tile>::Keys> k(shared.k), v(shared.v);

  // Turns: named barriers 1, 2, ... are those of groups 0, 1, ..., each passed by a group and the one before.
  const int own_turn = 1 + group, next_turn = group + 1 == Tile::kConsumers ? 1 : own_turn + 1;
  if (group == Tile::kConsumers - 1) arrive_named(1, 256);
  const auto release = [lane](auto& stage) {
    if (lane == 0) stage.release();
    stage.next();
  };

  visit_tiles<Tile>(params, [&](const HopperPlace<Tile>& place) {
    HopperSoftmax softmax;
    typename Products::Out out;
#pragma unroll
    for (int n = 0; n < Tile::kOutColumns; ++n) out[n][0] = out[n][1] = out[n][2] = out[n][3] = 0.0f;
    q.wait_full();
    const SeenTiles<kBlockN> own = place.of_group(group);
    const int last = own.begin < own.end ? own.end : place.tiles.begin;  // tiles from here on the group does not see
    // Of tiles that the group does not see it takes its turns, and gives them back.
    const auto skip = [&](int count) {
      for (; count > 0; --count) {
        sync_named(own_turn, 256);
        arrive_named(next_turn, 256);
        k.wait_full();
        release(k);
        v.wait_full();
        release(v);
      }
    };
    skip(place.tiles.end - last);
    if (own.begin < own.end) {
      typename Products::Weights weights;
      int tile = own.end - 1;
      const auto issue_scores = [&](typename Products::Scores& scores) {
        k.wait_full();
        sync_named(own_turn, 256);
        Products::score(scores, q.tile() + group * 64 * 128, k.tile());
      };
      const auto issue_output = [&] {
        v.wait_full();
        Products::weigh_values(out, weights, v.tile());
      };
      const auto weigh = [&](typename Products::Scores& scores, bool masked) {
        const int at = shuffle_xor(thread, 0), column = tile * kBlockN + at % 4 * 2;  // computed again for each tile
        const int row = place.first + group * 64 + at / 32 * 16 + at % 32 / 4;
        auto& block = reinterpret_cast<float(&)[1][Tile::kScoreColumns][4]>(scores);
        if (modified) {
          const float slope = p.alibi_slopes != nullptr ? p.alibi_slopes[place.head] : 0.0f;
          modify_scores(block, ScoreChange(p.scale, p.softcap), slope, row + place.seen.offset, column);
        }
        if (masked) mask_scores(block, place.seen, row, column);
        softmax.weigh(scores, unit);
      };
      const auto round = [&](const typename Products::Scores& scores) {
#pragma unroll
        for (int step = 0; step < kBlockN / 16; ++step) round_to_left<Element>(step, scores, weights[step]);
      };
      {
        typename Products::Scores scores;
        issue_scores(scores);
        arrive_named(next_turn, 256);
        warpgroup_wait<0>();
        keep_registers(scores);
        release(k);
        weigh(scores, true);
        round(scores);
      }
      const auto walk = [&](auto kind) {
        typename Products::Scores scores;
        issue_scores(scores);
        issue_output();
        arrive_named(next_turn, 256);
        warpgroup_wait<1>();
        keep_registers(scores);
        release(k);
        weigh(scores, decltype(kind)::kValue);
        warpgroup_wait<0>();
        keep_registers(out);
        release(v);
        round(scores);
        softmax.rescale(out);
      };
      for (--tile; tile >= own.begin;) {  // cut, whole, cut: either body stands in the code once
        for (; tile >= own.begin && !own.whole(tile); --tile) walk(Masked<true>{});
        for (; tile >= own.begin && own.whole(tile); --tile) walk(Masked<false>{});
      }
      issue_output();
      warpgroup_wait<0>();
      keep_registers(out);
      release(v);
      skip(own.begin - place.tiles.begin);
      sync_named(1 + Tile::kConsumers + group, 128);  // no warp of the group reads queries any more
    }
    store_rows<Tile, Element>(p, place, unit, softmax, out, q.tile());
    fence_async();
    sync_warp();
    release(q);
  });
}

/// Grid: blocks that take items in turn.
template <int kHeadDim, typename Element>
__global__ void __launch_bounds__(HopperForwardTile<kHeadDim>::kThreads, 1)
    hopper_forward_kernel(const __grid_constant__ HopperForwardParams params) {
  using Tile = HopperForwardTile<kHeadDim>;
  const HopperShared<Tile> shared;
  if (threadIdx.x == 0) shared.init();
  sync_block();
  const int group = shuffle(static_cast<int>(threadIdx.x) / 128, 0);  // the same for a warp, as the compiler sees too
  if (group == 0) {
    give_registers<Tile::kProducerRegisters>();
    if (threadIdx.x == 0) copy_tiles<Tile>(params, shared);
  } else {
    take_registers<Tile::kConsumerRegisters>();
    multiply_tiles<Tile, Element>(params, shared, group - 1);
  }
}

}  // namespace powerhouse::cuda
