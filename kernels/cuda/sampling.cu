#include "kernels/cuda/sampling.cuh"

#include "kernels/cuda/device_launcher.cuh"
#include "kernels/cuda/row_kernels.h"

namespace powerhouse::cuda {

void sample(const SamplingParams& params, std::int64_t rows, Stream stream) {
  launch_sampling(DeviceLauncher{stream}, params, rows);
}

}  // namespace powerhouse::cuda
