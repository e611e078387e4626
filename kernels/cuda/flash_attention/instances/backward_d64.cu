#include "kernels/cuda/device_launcher.cuh"
#include "kernels/cuda/flash_attention/backward_launch.cuh"
#include "kernels/cuda/flash_attention/launchers.h"

namespace powerhouse::cuda {

void flash_backward(Constant<64>, const FlashBackwardParams& params, Stream stream) {
  launch_flash_backward<64>(DeviceLauncher{stream}, params);
}

}  // namespace powerhouse::cuda
