#include "kernels/cuda/row_kernels.h"

#include "kernels/cuda/adamw8.cuh"
#include "kernels/cuda/device_launcher.cuh"

namespace powerhouse::cuda {

void adamw8(const cpu::UpdateParams& params, std::int64_t elements, Stream stream) {
  launch_adamw8(DeviceLauncher{stream}, params, elements);
}

}  // namespace powerhouse::cuda
