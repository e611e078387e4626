#include "kernels/cuda/blocks_product.cuh"
#include "kernels/cuda_products/products_on_host.h"

namespace powerhouse::testing {

bool blocks_product_on_host(const cuda::QuantizedProductParams& params, const HostLauncher& launcher) {
  return cuda::launch_blocks_product(cuda::LegacyFormats{}, launcher, params) ||
         cuda::launch_blocks_product(cuda::KFormats{}, launcher, params) ||
         cuda::launch_blocks_product(cuda::GridFormats{}, launcher, params) ||
         cuda::launch_blocks_product(cuda::LevelFormats{}, launcher, params);
}

}  // namespace powerhouse::testing
