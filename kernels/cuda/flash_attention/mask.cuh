// Which keys a query row sees: one interval of keys a row, whatever made it (ragged end, causal, window).
#pragma once

#include "kernels/cuda/primitives.cuh"

namespace powerhouse::cuda {

static constexpr float kMinusInfinity = -__builtin_huge_valf();

static __device__ __forceinline__ int larger(int a, int b) { return a > b ? a : b; }
static __device__ __forceinline__ int smaller(int a, int b) { return a < b ? a : b; }

struct SeenKeys {
  int queries, keys, offset;  // offset: the key where query 0 stands
  int left, right;            // how far a query sees; without a window farther than there are keys

  static __host__ __device__ __forceinline__ int reach(int window) {
    constexpr int kFar = 1 << 30;
    return window < 0 || window > kFar ? kFar : window;
  }
  __device__ __forceinline__ int begin(int row) const { return larger(0, row + offset - left); }
  __device__ __forceinline__ int end(int row) const { return smaller(keys, row + offset + 1 + right); }
};

/// The tiles of keys that rows [first, last] see, counted from key 0: [begin, end), of which [full_begin, full_end) are
/// seen whole by every row and need no mask.
template <int kBlockN>
struct SeenTiles {
  int begin, end, full_begin, full_end;

  SeenTiles() = default;
  __device__ __forceinline__ SeenTiles(const SeenKeys& seen, int first, int last) {
    begin = seen.begin(first) / kBlockN;
    end = (larger(0, seen.end(last)) + kBlockN - 1) / kBlockN;
    full_begin = (seen.begin(last) + kBlockN - 1) / kBlockN;
    full_end = larger(0, seen.end(first)) / kBlockN;
  }
  __device__ __forceinline__ bool whole(int tile) const { return tile >= full_begin && tile < full_end; }
};

/// Whether a tile of scores is cut by the mask, as a type that the walk over tiles is compiled for.
template <bool kYes>
struct Masked {
  static constexpr bool kValue = kYes;
};

}  // namespace powerhouse::cuda
