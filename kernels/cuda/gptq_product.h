// The launchers of GPTQ and AWQ weights. As row_kernels.h: pointers are the device's, a launch is queued on the stream
// and returns at once, inputs are trusted.
#pragma once

#include "kernels/cuda/gptq_product_params.h"
#include "kernels/cuda/stream.h"

namespace powerhouse::cuda {

/// Once, when a weight is loaded. False for bits that the layout does not have.
bool repack(const RepackParams& params, Stream stream);

/// False for float32.
bool repacked_product(const RepackedProductParams& params, Stream stream);

bool repacked_dequantize(const RepackedDequantizeParams& params, Stream stream);

}  // namespace powerhouse::cuda
