// For faults planted in products with repacked weights.
#include "kernels/cuda/repacked_product.cuh"
#include "kernels/cuda_products/products_on_host.h"

namespace powerhouse::testing {

bool blocks_product_on_host(const cuda::QuantizedProductParams&, const HostLauncher&) { return false; }
bool repack_on_host(const cuda::RepackParams& params, const HostLauncher& launcher) {
  return cuda::launch_repack(launcher, params);
}
bool repacked_product_on_host(const cuda::RepackedProductParams& params, const HostLauncher& launcher) {
  return cuda::launch_repacked_product(launcher, params);
}
bool repacked_dequantize_on_host(const cuda::RepackedDequantizeParams& params, const HostLauncher& launcher) {
  return cuda::launch_repacked_dequantize(launcher, params);
}

}  // namespace powerhouse::testing
