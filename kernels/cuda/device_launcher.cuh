// Launches a kernel on a stream: what every .cu file hands to the launch_... functions.
#pragma once

#include <cuda_runtime.h>

#include "kernels/cuda/early_launch.h"
#include "kernels/cuda/launch_shape.h"

namespace powerhouse::cuda {

struct DeviceLauncher {
  cudaStream_t stream;

  template <typename... Of, typename... Given>
  void operator()(const LaunchShape& shape, void (*kernel)(Of...), const Given&... arguments) const {
    constexpr std::int64_t kWithoutAsking = 48 << 10;
    if (shape.empty()) return;
    if (shape.shared_bytes > kWithoutAsking) {
      cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(shape.shared_bytes));
    }
    const dim3 grid(static_cast<unsigned>(shape.grid_x), static_cast<unsigned>(shape.grid_y),
                    static_cast<unsigned>(shape.grid_z));
    const auto bytes = static_cast<std::size_t>(shape.shared_bytes);
    if (!shape.early || !kernels_wait_for_launch_before()) {
      kernel<<<grid, dim3(shape.block_x, shape.block_y), bytes, stream>>>(arguments...);
      return;
    }
    cudaLaunchAttribute attribute{};
    attribute.id = cudaLaunchAttributeProgrammaticStreamSerialization;
    attribute.val.programmaticStreamSerializationAllowed = 1;
    cudaLaunchConfig_t config{};
    config.gridDim = grid;
    config.blockDim = dim3(shape.block_x, shape.block_y);
    config.dynamicSmemBytes = bytes;
    config.stream = stream;
    config.attrs = &attribute;
    config.numAttrs = 1;
    cudaLaunchKernelEx(&config, kernel, static_cast<Of>(arguments)...);
  }
};

}  // namespace powerhouse::cuda
