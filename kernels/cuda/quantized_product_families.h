// Products with weights of blocks, a function a family of formats (block_formats.cuh): each is compiled by itself.
// False for a format of another family, and for float32 with more rows than the plain product takes.
#pragma once

#include "kernels/cuda/few_rows_product_params.h"
#include "kernels/cuda/row_kernels.h"

namespace powerhouse::cuda {

bool product_of_legacy_formats(const QuantizedProductParams& params, Stream stream);
bool product_of_k_formats(const QuantizedProductParams& params, Stream stream);
bool product_of_grid_formats(const QuantizedProductParams& params, Stream stream);
bool product_of_level_formats(const QuantizedProductParams& params, Stream stream);

/// Of up to kMostFewRows, with what stands in front and behind. Also false for normed rows that shared memory has no
/// room for.
bool few_rows_of_legacy_formats(const FewRowsParams& params, Stream stream);
bool few_rows_of_k_formats(const FewRowsParams& params, Stream stream);
bool few_rows_of_grid_formats(const FewRowsParams& params, Stream stream);
bool few_rows_of_level_formats(const FewRowsParams& params, Stream stream);

}  // namespace powerhouse::cuda
