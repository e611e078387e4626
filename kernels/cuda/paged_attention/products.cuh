// A warp's products of 16 keys and values of the queries' two-byte type, as they lie in shared memory, with columns of
// eight query vectors, by tensor cores. Fragments: lane 4 g + t holds rows g and g + 8 of columns 2 t and 2 t + 1.
#pragma once

#include "kernels/cuda/flash_attention/swizzle.cuh"
#include "kernels/cuda/paged_attention/tile.h"

namespace powerhouse::cuda {

/// Two products share a lane's four words of queries.
static __device__ __forceinline__ Words query_words(const unsigned char* queries, int block, int columns, int column,
                                                    int lane) {
  return load_words(queries + ((block * columns + column) * 32 + lane) * 16);
}

/// Calls function(Element{}) with the type of two bytes: a branch that all threads take alike.
template <typename Function>
static __device__ __forceinline__ void with_type(bool is_bf16, const Function& function) {
  if (is_bf16) {
    function(bfloat16{});
  } else {
    function(float16{});
  }
}

template <typename T, int kHeadDim, typename Cells, int kColumns>
struct OwnProducts {
  using Tile = PagedTile<T, kHeadDim, Cells, kColumns>;
  using Lay = Swizzle<kHeadDim>;
  using Scores = float[kColumns][4];
  using Out = float[Tile::kOutTiles][kColumns][4];

  static constexpr float kOutUnit = 1.0f;  // what sums of values are multiplied by at last
  static constexpr bool kPairs = false;    // whether rows g and g + 8 of a fragment of output are neighbors

  int lane;
  const unsigned char* queries;  // the warp's, in the order in which lanes read them
  bool is_bf16;

  /// Element of a query's 32 that is half `half` of word `word` of lane 4 g + t.
  static __device__ __forceinline__ int query_element(int /*block*/, int t, int word, int half) {
    return word * 8 + t * 2 + half;
  }
  /// Where rows of a fragment of output, and elements, lie among a vector's sums.
  static __device__ __forceinline__ int out_slot(int tile, int g, int half) { return tile * 16 + half * 8 + g; }
  static __device__ __forceinline__ int slot_of(int d) { return d; }

  /// scores = k q^T
  __device__ __forceinline__ void score(const unsigned char* keys, Scores& scores) const {
    with_type(
        is_bf16, [&](auto type) __attribute__((always_inline)) { score_as(keys, scores, type); });
  }
  /// out += v^T weights
  __device__ __forceinline__ void weigh(const unsigned char* values, const Scores& weights, Out& out) const {
    with_type(
        is_bf16, [&](auto type) __attribute__((always_inline)) { weigh_as(values, weights, out, type); });
  }

 private:
  template <typename Element>
  __device__ __forceinline__ void score_as(const unsigned char* keys, Scores& scores, Element type) const {
    const unsigned char* const row = keys + lane % 16 * Tile::kPitch;
    const int bits = Lay::of_row(lane % 8) ^ lane / 16;
#pragma unroll
    for (int block = 0; block < kHeadDim / 32; ++block) {
      std::uint32_t k[2][4];
      load_matrix_x4(k[0], row + Lay::chunk(block * 4, bits));
      load_matrix_x4(k[1], row + Lay::chunk(block * 4 + 2, bits));
#pragma unroll
      for (int n = 0; n < kColumns; ++n) {
        const Words q = query_words(queries, block, kColumns, n, lane);
        multiply_16816(scores[n], k[0], q.word[0], q.word[1], type);
        multiply_16816(scores[n], k[1], q.word[2], q.word[3], type);
      }
    }
  }

  template <typename Element>
  __device__ __forceinline__ void weigh_as(const unsigned char* values, const Scores& weights, Out& out,
                                           Element type) const {
    const unsigned char* const row = values + (lane / 16 * 8 + lane % 8) * Tile::kPitch;
    const int bits = Lay::of_row(lane % 8) ^ lane / 8 % 2;
    std::uint32_t w[kColumns][2];
#pragma unroll
    for (int n = 0; n < kColumns; ++n) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        w[n][half] = transpose_matrix(pack(weights[n][half * 2], weights[n][half * 2 + 1], type));
      }
    }
#pragma unroll
    for (int m = 0; m < Tile::kOutTiles; ++m) {
      std::uint32_t v[4];
      load_matrix_x4_transposed(v, row + Lay::chunk(m * 2, bits));
#pragma unroll
      for (int n = 0; n < kColumns; ++n) multiply_16816(out[m][n], v, w[n][0], w[n][1], type);
    }
  }
};

}  // namespace powerhouse::cuda
