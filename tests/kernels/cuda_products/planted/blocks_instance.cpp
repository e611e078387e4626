// For faults planted in products with blocks: two formats, of small and of large blocks.
#include "kernels/cuda/blocks_product.cuh"
#include "kernels/cuda_products/products_on_host.h"

namespace powerhouse::testing {

bool blocks_product_on_host(const cuda::QuantizedProductParams& params, const HostLauncher& launcher) {
  return cuda::launch_blocks_product(cuda::FormatFamily<BlockFormat::q4_0, BlockFormat::q6_k>{}, launcher, params);
}

}  // namespace powerhouse::testing
