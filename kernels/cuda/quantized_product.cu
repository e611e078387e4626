#include "kernels/cuda/row_kernels.h"

#include "kernels/cuda/device_launcher.cuh"
#include "kernels/cuda/quantized_product.cuh"

namespace powerhouse::cuda {

bool quantized_product(const QuantizedProductParams& params, Stream stream) {
  return launch_quantized_product(DeviceLauncher{stream}, params);
}

}  // namespace powerhouse::cuda
