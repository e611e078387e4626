// Launches flash attention's backward kernels for Hopper on the CPU; those of each head size are compiled in a file of
// its own.
#pragma once

#include "kernels/cuda/flash_attention/backward_params.h"
#include "kernels/cuda_rows/on_host.h"

namespace powerhouse::cuda {

template <int kHeadDim>
void hopper_backward_on_host(const testing::HostLauncher& launcher, const FlashBackwardParams& params);

}  // namespace powerhouse::cuda
