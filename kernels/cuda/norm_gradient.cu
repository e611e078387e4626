#include "kernels/cuda/row_kernels.h"

#include "kernels/cuda/device_launcher.cuh"
#include "kernels/cuda/norm_gradient.cuh"

namespace powerhouse::cuda {

bool norm_gradient(const cpu::NormGradientParams& params, std::int64_t part_rows, Stream stream) {
  return launch_norm_gradient(DeviceLauncher{stream}, params, part_rows);
}

}  // namespace powerhouse::cuda
