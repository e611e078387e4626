#include "kernels/cuda/device_launcher.cuh"
#include "kernels/cuda/flash_attention/hopper_launch.cuh"
#include "kernels/cuda/flash_attention/launchers.h"

namespace powerhouse::cuda {

bool hopper_forward(Constant<128>, const FlashForwardParams& params, const HopperDevice& device, Stream stream) {
  return launch_hopper_forward<128>(DeviceLauncher{stream}, params, device);
}

}  // namespace powerhouse::cuda
