#include "kernels/cuda/few_rows_product.h"

#include "kernels/cuda/device_launcher.cuh"
#include "kernels/cuda/few_rows_product.cuh"
#include "kernels/cuda/rope_write.cuh"

namespace powerhouse::cuda {

bool few_rows_product(const FewRowsParams& params, Stream stream) {
  return launch_few_rows_product(DeviceLauncher{stream}, params);
}

bool rope_write(const RopeWriteParams& params, Stream stream) {
  return launch_rope_write(DeviceLauncher{stream}, params);
}

}  // namespace powerhouse::cuda
