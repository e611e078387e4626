#include "kernels/cuda/device_launcher.cuh"
#include "kernels/cuda/flash_attention/forward_launch.cuh"
#include "kernels/cuda/flash_attention/launchers.h"

namespace powerhouse::cuda {

void flash_forward(Constant<256>, const FlashForwardParams& params, Stream stream) {
  launch_flash_forward<256>(DeviceLauncher{stream}, params);
}

}  // namespace powerhouse::cuda
