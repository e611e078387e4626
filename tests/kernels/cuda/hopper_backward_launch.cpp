#include "kernels/cuda/hopper_backward_launch.h"

#include "kernels/cuda/flash_backward_launch.h"

namespace powerhouse::cuda {

void flash_backward_on_host(const testing::HostLauncher& launcher, const FlashBackwardParams& params) {
  if (params.forward.head_dim <= 64) return hopper_backward_on_host<64>(launcher, params);
  if (params.forward.head_dim <= 128) return hopper_backward_on_host<128>(launcher, params);
  hopper_backward_on_host<256>(launcher, params);
}

}  // namespace powerhouse::cuda
