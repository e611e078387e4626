// The end of a part: its strips' sums are added in shared memory, one strip after the other, and what a row saw of it
// goes to the output where that is all it sees, else to the workspace.
#pragma once

#include "kernels/cuda/paged_attention/strip_softmax.cuh"
#include "kernels/cuda/paged_attention/tile.h"
#include "kernels/cuda/paged_attention/vectors_of_block.cuh"

namespace powerhouse::cuda {

/// Where the sums and stats of a row's head and part lie; the parts are counted from the first that the row sees.
struct PagedWorkspace {
  float* sums;  // [head_dim]
  float* stat;  // largest, sum

  __device__ __forceinline__ PagedWorkspace(const PagedAttentionParams& p, const PagedPlan& plan, int row, int head,
                                            int part) {
    const std::int64_t vectors = static_cast<std::int64_t>(p.all_rows) * p.heads * plan.parts;
    const std::int64_t at = (static_cast<std::int64_t>(row) * p.heads + head) * plan.parts + part;
    sums = p.workspace + at * p.cache.head_dim;
    stat = p.workspace + vectors * p.cache.head_dim + at * 2;
  }
};

/// exp(sink) joins what was seen. Returns what the sums are to be multiplied by.
static __device__ __forceinline__ float normalizer(const PagedAttentionParams& p, int head, const Stat& seen) {
  if (p.sinks == nullptr) return reciprocal_approximate(seen.sum);
  const float sink = p.sinks[head], most = maximum(seen.largest, sink);
  const float factor = weight_of(seen.largest, most);
  return factor * reciprocal_approximate(seen.sum * factor + weight_of(sink, most));
}

/// Four elements of a row's head, from element `at` on.
static __device__ __forceinline__ void store_out(const PagedAttentionParams& p, int row, int head, int at,
                                                 const float (&x)[4]) {
  const std::int64_t to = row * p.out_row_stride + head * p.out_head_stride + at;
  if (p.type == Element::f32) return store_elements(static_cast<float*>(p.out) + to, x);
  if (p.type == Element::bf16) return store_elements(static_cast<bfloat16*>(p.out) + to, x);
  store_elements(static_cast<float16*>(p.out) + to, x);
}

/// Rows that see nothing give zeros.
static __device__ __forceinline__ void store_nothing(const PagedAttentionParams& p, const PagedVectors& vectors) {
  const int fours = p.cache.head_dim / 4;
  for (int i = static_cast<int>(threadIdx.x); i < vectors.count * fours; i += static_cast<int>(blockDim.x)) {
    const int vector = i / fours;
    if (!vectors.seen(vector, p.window).none()) continue;
    const float zeros[4] = {};
    store_out(p, vectors.sequence.first_row + vectors.row(vector), vectors.head(vector), i % fours * 4, zeros);
  }
}

template <typename Products, typename Tile, int kColumns>
struct PartSums {
  using Out = float[Tile::kOutTiles][kColumns][4];

  float* sums;  // rows of kSumsPitch, those of sixteen vectors kSumsTile further than the sixteen before
  Stat* stats;  // [kStrips + 1, kMostVectors]: the last are those of the part

  /// By all threads, after which sums and stats stand; `vector` is the first that the lane holds.
  __device__ __forceinline__ void add(const StripSoftmax<kColumns>& softmax, Out& out, int strip, int vector,
                                      int lane) const {
    Stat own[kColumns][2];
#pragma unroll
    for (int n = 0; n < kColumns; ++n) {
#pragma unroll
      for (int e = 0; e < 2; ++e) {
        own[n][e] = softmax.stat(n, e);
        if (lane < 4) stats[strip * Tile::kMostVectors + vector + n * 8 + e] = own[n][e];
      }
    }
    sync_block();
#pragma unroll
    for (int n = 0; n < kColumns; ++n) {
      float factor[2];
#pragma unroll
      for (int e = 0; e < 2; ++e) {
        const Stat* const of_vector = stats + vector + n * 8 + e;
        Stat all{kMinusInfinity, 0.0f};
#pragma unroll
        for (int s = 0; s < Tile::kStrips; ++s)
          all.largest = maximum(all.largest, of_vector[s * Tile::kMostVectors].largest);
#pragma unroll
        for (int s = 0; s < Tile::kStrips; ++s) {
          const Stat strip_stat = of_vector[s * Tile::kMostVectors];
          all.sum += strip_stat.sum * weight_of(strip_stat.largest, all.largest);
        }
        factor[e] = weight_of(own[n][e].largest, all.largest);
        if (Products::kOutUnit != 1.0f) factor[e] *= Products::kOutUnit;
        if (strip == 0 && lane < 4) stats[Tile::kStrips * Tile::kMostVectors + vector + n * 8 + e] = all;
      }
#pragma unroll
      for (int m = 0; m < Tile::kOutTiles; ++m) {
#pragma unroll
        for (int i = 0; i < 4; ++i) out[m][n][i] *= factor[i % 2];
      }
    }
    for (int turn = 0; turn < Tile::kStrips; ++turn) {
      if (strip == turn) add_strip(out, turn == 0, vector, lane);
      sync_block();
    }
  }
  __device__ __forceinline__ float* sums_of(int vector) const {
    return sums + vector / 16 * Tile::kSumsTile + vector % 16 * Tile::kSumsPitch;
  }

  __device__ __forceinline__ void add_strip(const Out& out, bool first, int vector, int lane) const {
#pragma unroll
    for (int m = 0; m < Tile::kOutTiles; ++m) {
#pragma unroll
      for (int n = 0; n < kColumns; ++n) {
#pragma unroll
        for (int e = 0; e < 2; ++e) {
          float* const of_vector = sums_of(vector + n * 8 + e);
          if constexpr (Products::kPairs) {
            float* const at = of_vector + Products::out_slot(m, lane / 4, 0);
            float pair[2] = {};
            if (!first) load_elements(at, pair);
            pair[0] += out[m][n][e];
            pair[1] += out[m][n][e + 2];
            store_elements(at, pair);
          } else {
#pragma unroll
            for (int half = 0; half < 2; ++half) {
              float* const at = of_vector + Products::out_slot(m, lane / 4, half);
              *at = (first ? 0.0f : *at) + out[m][n][half * 2 + e];
            }
          }
        }
      }
    }
  }

  /// Of a vector four elements a thread: 16 bytes of float32.
  __device__ __forceinline__ void store(const PagedAttentionParams& p, const PagedPlan& plan,
                                        const PagedVectors& vectors, int part) const {
    const int fours = p.cache.head_dim / 4;
    for (int i = static_cast<int>(threadIdx.x); i < vectors.count * fours; i += static_cast<int>(blockDim.x)) {
      const int vector = i / fours, at = i % fours * 4;
      const SeenPositions seen = vectors.seen(vector, p.window);
      const int place_of_part = part - seen.first_part();
      if (place_of_part < 0 || place_of_part >= seen.parts()) continue;
      const int row = vectors.sequence.first_row + vectors.row(vector), head = vectors.head(vector);
      const Stat stat = stats[Tile::kStrips * Tile::kMostVectors + vector];
      const float* const of_vector = sums_of(vector);
      float pairs[2][2];
      load_elements(of_vector + Products::slot_of(at), pairs[0]);
      load_elements(of_vector + Products::slot_of(at + 2), pairs[1]);
      float x[4] = {pairs[0][0], pairs[0][1], pairs[1][0], pairs[1][1]};
      if (seen.parts() == 1) {
        const float factor = normalizer(p, head, stat);
#pragma unroll
        for (int e = 0; e < 4; ++e) x[e] *= factor;
        store_out(p, row, head, at, x);
        continue;
      }
      const PagedWorkspace to(p, plan, row, head, place_of_part);
      store_elements(to.sums + at, x);
      const float pair[2] = {stat.largest, stat.sum};
      if (at == 0) store_elements(to.stat, pair);
    }
  }
};

}  // namespace powerhouse::cuda
