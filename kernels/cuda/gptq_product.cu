#include "kernels/cuda/gptq_product.h"

#include "kernels/cuda/device_launcher.cuh"
#include "kernels/cuda/repacked_product.cuh"

namespace powerhouse::cuda {

bool repack(const RepackParams& params, Stream stream) { return launch_repack(DeviceLauncher{stream}, params); }

bool repacked_product(const RepackedProductParams& params, Stream stream) {
  return launch_repacked_product(DeviceLauncher{stream}, params);
}

bool repacked_dequantize(const RepackedDequantizeParams& params, Stream stream) {
  return launch_repacked_dequantize(DeviceLauncher{stream}, params);
}

}  // namespace powerhouse::cuda
