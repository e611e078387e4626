#include "kernels/cuda/row_kernels.h"

#include "kernels/cuda/cross_entropy.cuh"
#include "kernels/cuda/device_launcher.cuh"

namespace powerhouse::cuda {

void cross_entropy(const cpu::CrossEntropyParams& params, std::int64_t rows, Stream stream) {
  launch_cross_entropy(DeviceLauncher{stream}, params, rows);
}

}  // namespace powerhouse::cuda
