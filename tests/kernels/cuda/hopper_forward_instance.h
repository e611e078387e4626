// The body of hopper_forward_d<head size>.cpp.
#pragma once

#include "cuda_on_host/launch.h"
#include "kernels/cuda/flash_attention/hopper_launch.cuh"
#include "kernels/cuda/hopper_forward_run.h"

namespace powerhouse::testing {

/// In the place of DeviceLauncher.
struct HopperLauncher {
  cuda_on_host::GlobalMemory& memory;
  const cuda_on_host::LaunchOptions& options;
  cuda_on_host::LaunchReport& report;

  template <typename Params>
  void operator()(const cuda::LaunchShape& shape, void (*kernel)(Params), const Params& params) const {
    report =
        cuda_on_host::launch({static_cast<unsigned>(shape.grid_x)}, {shape.block_x},
                             static_cast<std::size_t>(shape.shared_bytes), memory, options, [&] { kernel(params); });
  }
};

template <int kHeadDim, bool kCached>
cuda_on_host::LaunchReport run_hopper_forward(const cuda::FlashForwardParams& params,
                                              cuda_on_host::GlobalMemory& memory,
                                              const cuda_on_host::LaunchOptions& options) {
  cuda_on_host::LaunchReport report;
  cuda::launch_hopper_forward<kHeadDim>(HopperLauncher{memory, options, report}, params, hopper_device(kCached));
  return report;
}

}  // namespace powerhouse::testing
