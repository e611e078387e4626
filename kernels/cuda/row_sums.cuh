// Sums over the threads that share a row, the same bits in each of them: threadIdx.x counts them, a warp or a block.
#pragma once

#include "kernels/cuda/primitives.cuh"

namespace powerhouse::cuda {

/// Floats of shared memory for a row_sum, where a row has more than a warp.
inline constexpr int kRowScratch = 32;

static __device__ __forceinline__ float warp_sum(float value) {
#pragma unroll
  for (int lanes = 16; lanes > 0; lanes /= 2) value += shuffle_xor(value, lanes);
  return value;
}

/// blockDim.x is a multiple of 32; above 32 it is the whole block, which comes here together and does not use the same
/// scratch again before another barrier.
static __device__ __forceinline__ float row_sum(float value, float* scratch) {
  value = warp_sum(value);
  if (blockDim.x == 32) return value;
  const unsigned lane = threadIdx.x % 32;
  if (lane == 0) scratch[threadIdx.x / 32] = value;
  sync_block();
  return warp_sum(lane < blockDim.x / 32 ? scratch[lane] : 0.0f);
}

}  // namespace powerhouse::cuda
