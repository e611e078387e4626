#include "kernels/cuda/blocks_product.cuh"
#include "kernels/cuda/device_launcher.cuh"
#include "kernels/cuda/quantized_product_families.h"

namespace powerhouse::cuda {

bool product_of_legacy_formats(const QuantizedProductParams& params, Stream stream) {
  return launch_quantized_product(LegacyFormats{}, DeviceLauncher{stream}, params);
}
bool few_rows_of_legacy_formats(const FewRowsParams& params, Stream stream) {
  return launch_few_block_rows(LegacyFormats{}, DeviceLauncher{stream}, params);
}

}  // namespace powerhouse::cuda
