#include "kernels/cuda/device_launcher.cuh"
#include "kernels/cuda/flash_attention/backward_launch.cuh"
#include "kernels/cuda/flash_attention/launchers.h"

namespace powerhouse::cuda {

void flash_backward(Constant<256>, const FlashBackwardParams& params, Stream stream) {
  launch_flash_backward<256>(DeviceLauncher{stream}, params);
}

}  // namespace powerhouse::cuda
