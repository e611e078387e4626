#include "kernels/cuda/flash_attention/forward.cuh"

namespace powerhouse::cuda {
template __global__ void flash_forward_kernel<128, bfloat16, false>(FlashForwardParams);
template __global__ void flash_forward_kernel<128, bfloat16, true>(FlashForwardParams);
template __global__ void flash_forward_kernel<128, float16, false>(FlashForwardParams);
template __global__ void flash_forward_kernel<128, float16, true>(FlashForwardParams);
}  // namespace powerhouse::cuda
