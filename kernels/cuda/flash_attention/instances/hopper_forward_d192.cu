#include "kernels/cuda/device_launcher.cuh"
#include "kernels/cuda/flash_attention/hopper_launch.cuh"
#include "kernels/cuda/flash_attention/launchers.h"

namespace powerhouse::cuda {

bool hopper_forward(Constant<192>, const FlashForwardParams& params, const HopperDevice& device, Stream stream) {
  return launch_hopper_forward<192>(DeviceLauncher{stream}, params, device);
}

}  // namespace powerhouse::cuda
