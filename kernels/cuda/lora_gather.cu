#include "kernels/cuda/lora_gather.h"

#include "kernels/cuda/device_launcher.cuh"
#include "kernels/cuda/lora_gather.cuh"

namespace powerhouse::cuda {

bool lora_gather(const LoraGatherParams& params, Stream stream) {
  return launch_lora_gather(DeviceLauncher{stream}, params);
}

}  // namespace powerhouse::cuda
