// Runs Hopper's forward kernel under the shim: each head size is compiled in a file of its own.
#pragma once

#include "cuda_on_host/launch.h"
#include "kernels/cuda/flash_attention/hopper_device.h"
#include "kernels/cuda/flash_attention/params.h"

namespace powerhouse::testing {

/// Few multiprocessors, so that blocks take several items; pairs of tiles where there is no cache.
inline cuda::HopperDevice hopper_device(bool cached) { return {2, cached ? std::int64_t{1} << 40 : 0}; }

template <int kHeadDim, bool kCached>
cuda_on_host::LaunchReport run_hopper_forward(const cuda::FlashForwardParams& params,
                                              cuda_on_host::GlobalMemory& memory,
                                              const cuda_on_host::LaunchOptions& options);

}  // namespace powerhouse::testing
