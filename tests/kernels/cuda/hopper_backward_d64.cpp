#include "kernels/cuda/flash_attention/hopper_backward_launch.cuh"
#include "kernels/cuda/hopper_backward_launch.h"

namespace powerhouse::cuda {

template <>
void hopper_backward_on_host<64>(const testing::HostLauncher& launcher, const FlashBackwardParams& params) {
  launch_hopper_backward<64>(launcher, params, 2);  // multiprocessors
}

}  // namespace powerhouse::cuda
