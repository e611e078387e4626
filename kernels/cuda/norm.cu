#include "kernels/cuda/row_kernels.h"

#include "kernels/cuda/device_launcher.cuh"
#include "kernels/cuda/norm.cuh"

namespace powerhouse::cuda {

bool rms_norm(const cpu::RmsNormParams& params, std::int64_t items, Stream stream) {
  return launch_rms_norm(DeviceLauncher{stream}, params, items);
}

bool layer_norm(const cpu::LayerNormParams& params, std::int64_t items, Stream stream) {
  return launch_layer_norm(DeviceLauncher{stream}, params, items);
}

}  // namespace powerhouse::cuda
