#include "kernels/cuda/few_rows_product.h"

#include "kernels/cuda/device_launcher.cuh"
#include "kernels/cuda/few_rows_product.cuh"
#include "kernels/cuda/quantized_product_families.h"
#include "kernels/cuda/rope_write.cuh"

namespace powerhouse::cuda {

bool few_rows_product(const FewRowsParams& params, Stream stream) {
  if (!params.blocks) return launch_few_rows_product(DeviceLauncher{stream}, params);
  return few_rows_of_legacy_formats(params, stream) || few_rows_of_k_formats(params, stream) ||
         few_rows_of_grid_formats(params, stream) || few_rows_of_level_formats(params, stream);
}

bool rope_write(const RopeWriteParams& params, Stream stream) {
  return launch_rope_write(DeviceLauncher{stream}, params);
}

}  // namespace powerhouse::cuda
