#include "kernels/cuda/quantized_product_families.h"

namespace powerhouse::cuda {

bool quantized_product(const QuantizedProductParams& params, Stream stream) {
  return product_of_legacy_formats(params, stream) || product_of_k_formats(params, stream) ||
         product_of_grid_formats(params, stream) || product_of_level_formats(params, stream);
}

}  // namespace powerhouse::cuda
