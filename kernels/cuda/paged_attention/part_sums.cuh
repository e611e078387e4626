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

template <typename T>
static __device__ __forceinline__ T* paged_out(const PagedAttentionParams& p, int row, int head) {
  return static_cast<T*>(p.out) + row * p.out_row_stride + head * p.out_head_stride;
}

/// Rows that see nothing give zeros.
template <typename T>
static __device__ __forceinline__ void store_nothing(const PagedAttentionParams& p, const PagedVectors& vectors) {
  const int fours = p.cache.head_dim / 4;
  for (int i = static_cast<int>(threadIdx.x); i < vectors.count * fours; i += static_cast<int>(blockDim.x)) {
    const int vector = i / fours;
    if (!vectors.seen(vector, p.window).none()) continue;
    const float zeros[4] = {};
    store_elements(
        paged_out<T>(p, vectors.sequence.first_row + vectors.row(vector), vectors.head(vector)) + i % fours * 4, zeros);
  }
}

template <typename T, int kHeadDim>
struct PartSums {
  using Tile = PagedTile<T, kHeadDim>;
  using Out = float[Tile::kOutColumns][4];

  float* sums;  // [vectors, kHeadDim], eights of columns exclusive-ored with the row's number
  Stat* stats;  // [kStrips + 1, kMostVectors]: the last are those of the part

  static __device__ __forceinline__ int place(int vector, int eight) {
    return vector * kHeadDim + eight / 8 * 64 + (eight % 8 ^ vector % 8) * 8;
  }

  /// By all threads, behind a barrier; `vector` is the first that the lane holds. Afterwards sums and stats stand.
  __device__ __forceinline__ void add(const StripSoftmax& softmax, Out& out, int strip, int vector, int lane) const {
    const Stat own[2] = {softmax.stat(0), softmax.stat(1)};
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      if (lane % 4 == 0) stats[strip * Tile::kMostVectors + vector + half * 8] = own[half];
    }
    sync_block();
    float factor[2];
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const Stat* const of_vector = stats + vector + half * 8;
      Stat all{kMinusInfinity, 0.0f};
#pragma unroll
      for (int s = 0; s < Tile::kStrips; ++s)
        all.largest = maximum(all.largest, of_vector[s * Tile::kMostVectors].largest);
#pragma unroll
      for (int s = 0; s < Tile::kStrips; ++s) {
        const Stat strip_stat = of_vector[s * Tile::kMostVectors];
        all.sum += strip_stat.sum * weight_of(strip_stat.largest, all.largest);
      }
      factor[half] = weight_of(own[half].largest, all.largest);
      if (strip == 0 && lane % 4 == 0) stats[Tile::kStrips * Tile::kMostVectors + vector + half * 8] = all;
    }
#pragma unroll
    for (int n = 0; n < Tile::kOutColumns; ++n) {
#pragma unroll
      for (int e = 0; e < 4; ++e) out[n][e] *= factor[e / 2];
    }
    for (int turn = 0; turn < Tile::kStrips; ++turn) {
      if (strip == turn) add_strip(out, turn == 0, vector, lane);
      sync_block();
    }
  }

  __device__ __forceinline__ void add_strip(const Out& out, bool first, int vector, int lane) const {
#pragma unroll
    for (int n = 0; n < Tile::kOutColumns; ++n) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        float* const at = sums + place(vector, n) + half * 8 * kHeadDim + lane % 4 * 2;
        float pair[2] = {};
        if (!first) load_elements(at, pair);
        pair[0] += out[n][half * 2];
        pair[1] += out[n][half * 2 + 1];
        store_elements(at, pair);
      }
    }
  }

  /// Of a vector four elements a thread: 16 bytes of float32.
  __device__ __forceinline__ void store(const PagedAttentionParams& p, const PagedPlan& plan,
                                        const PagedVectors& vectors, int part) const {
    const int fours = p.cache.head_dim / 4;
    for (int i = static_cast<int>(threadIdx.x); i < vectors.count * fours; i += static_cast<int>(blockDim.x)) {
      const int vector = i / fours, four = i % fours;
      const SeenPositions seen = vectors.seen(vector, p.window);
      const int place_of_part = part - seen.first_part();
      if (place_of_part < 0 || place_of_part >= seen.parts()) continue;
      const int row = vectors.sequence.first_row + vectors.row(vector), head = vectors.head(vector);
      const Stat stat = stats[Tile::kStrips * Tile::kMostVectors + vector];
      float x[4];
      load_elements(sums + place(vector, four / 2) + four % 2 * 4, x);
      if (seen.parts() == 1) {
        const float factor = normalizer(p, head, stat);
#pragma unroll
        for (int e = 0; e < 4; ++e) x[e] *= factor;
        store_elements(paged_out<T>(p, row, head) + four * 4, x);
        continue;
      }
      const PagedWorkspace to(p, plan, row, head, place_of_part);
      store_elements(to.sums + four * 4, x);
      const float pair[2] = {stat.largest, stat.sum};
      if (four == 0) store_elements(to.stat, pair);
    }
  }
};

}  // namespace powerhouse::cuda
