// The launchers of products on tensor cores with a launcher on the CPU in the place of the stream.
#pragma once

#include "kernels/cuda/gptq_product_params.h"
#include "kernels/cuda/quantized_product_params.h"
#include "kernels/cuda_rows/on_host.h"

namespace powerhouse::testing {

/// Of more rows than the plain product takes.
bool blocks_product_on_host(const cuda::QuantizedProductParams& params, const HostLauncher& launcher);
bool repack_on_host(const cuda::RepackParams& params, const HostLauncher& launcher);
bool repacked_product_on_host(const cuda::RepackedProductParams& params, const HostLauncher& launcher);
bool repacked_dequantize_on_host(const cuda::RepackedDequantizeParams& params, const HostLauncher& launcher);

}  // namespace powerhouse::testing
