#include "kernels/cuda/dequantize.cuh"
#include "kernels/cuda/quantized_product.cuh"
#include "kernels/cuda_rows/kernels_on_host.h"

namespace powerhouse::testing {

bool dequantize_on_host(const cpu::DequantizeParams& params, std::int64_t blocks, const HostLauncher& launcher) {
  return cuda::launch_dequantize(launcher, params, blocks);
}
bool quantized_product_on_host(const cuda::QuantizedProductParams& params, const HostLauncher& launcher) {
  return cuda::launch_plain_product(cuda::LegacyFormats{}, launcher, params) ||
         cuda::launch_plain_product(cuda::KFormats{}, launcher, params) ||
         cuda::launch_plain_product(cuda::GridFormats{}, launcher, params) ||
         cuda::launch_plain_product(cuda::LevelFormats{}, launcher, params);
}
bool few_block_rows_on_host(const cuda::FewRowsParams& params, const HostLauncher& launcher) {
  return cuda::launch_few_block_rows(cuda::LegacyFormats{}, launcher, params) ||
         cuda::launch_few_block_rows(cuda::KFormats{}, launcher, params) ||
         cuda::launch_few_block_rows(cuda::GridFormats{}, launcher, params) ||
         cuda::launch_few_block_rows(cuda::LevelFormats{}, launcher, params);
}

}  // namespace powerhouse::testing
