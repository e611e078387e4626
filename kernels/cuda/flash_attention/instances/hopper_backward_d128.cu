#include "kernels/cuda/device_launcher.cuh"
#include "kernels/cuda/flash_attention/hopper_backward_launch.cuh"
#include "kernels/cuda/flash_attention/launchers.h"

namespace powerhouse::cuda {

bool hopper_backward(Constant<128>, const FlashBackwardParams& params, const HopperDevice& device, Stream stream) {
  launch_hopper_backward<128>(DeviceLauncher{stream}, params, device.multiprocessors);
  return true;
}

}  // namespace powerhouse::cuda
