// The launchers of a step of decoding (few_rows_product_params.h, rope_write_params.h). As row_kernels.h: pointers are
// the device's, a launch is queued on the stream and returns at once, inputs are trusted.
#pragma once

#include "kernels/cuda/few_rows_product_params.h"
#include "kernels/cuda/rope_write_params.h"
#include "kernels/cuda/stream.h"

namespace powerhouse::cuda {

/// False for float32, above kMostFewRows, for a gate without a norm, and for more than shared memory holds.
bool few_rows_product(const FewRowsParams& params, Stream stream);

/// False where the cache holds something else than elements of the rows' type.
bool rope_write(const RopeWriteParams& params, Stream stream);

}  // namespace powerhouse::cuda
