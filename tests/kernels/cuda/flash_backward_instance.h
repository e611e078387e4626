// The body of flash_backward_d<head size>.cpp.
#pragma once

#include "kernels/cuda/flash_attention/backward_launch.cuh"
#include "kernels/cuda/flash_backward_launch.h"

namespace powerhouse::cuda {

template <int kHeadDim>
void flash_backward_on_host(const testing::HostLauncher& launcher, const FlashBackwardParams& params) {
  launch_flash_backward<kHeadDim>(launcher, params);
}

}  // namespace powerhouse::cuda
