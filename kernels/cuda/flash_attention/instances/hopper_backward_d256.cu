#include "kernels/cuda/device_launcher.cuh"
#include "kernels/cuda/flash_attention/hopper_backward_launch.cuh"
#include "kernels/cuda/flash_attention/launchers.h"

namespace powerhouse::cuda {

bool hopper_backward(Constant<256>, const FlashBackwardParams& params, const HopperDevice& device, Stream stream) {
  launch_hopper_backward<256>(DeviceLauncher{stream}, params, device.multiprocessors);
  return true;
}

}  // namespace powerhouse::cuda
