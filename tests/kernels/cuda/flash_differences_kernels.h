// Flash attention's kernels built for float32, of the smallest tile (cuda_on_host/named_float.h).
#pragma once

#include "kernels/cuda/flash_attention/backward_params.h"
#include "kernels/cuda_rows/on_host.h"

namespace powerhouse::cuda {

void float_flash_forward(const testing::HostLauncher& launcher, const FlashForwardParams& params);
void float_flash_backward(const testing::HostLauncher& launcher, const FlashBackwardParams& params);

}  // namespace powerhouse::cuda
