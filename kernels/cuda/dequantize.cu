#include "kernels/cuda/row_kernels.h"

#include "kernels/cuda/dequantize.cuh"
#include "kernels/cuda/device_launcher.cuh"

namespace powerhouse::cuda {

bool dequantize(const cpu::DequantizeParams& params, std::int64_t blocks, Stream stream) {
  return launch_dequantize(DeviceLauncher{stream}, params, blocks);
}

}  // namespace powerhouse::cuda
