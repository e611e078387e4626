// Rounding to a block format of GGUF and back: what a merged weight would be in the file that it came from.
#pragma once

#include <ATen/core/Tensor.h>

#include "kernels/common/blocks.h"

namespace powerhouse {

/// Error{unsupported} for formats that have no quantizer here: all but q8_0, q4_0 and q4_1.
void check_requantizes(BlockFormat format);

/// float32 of the same shape; rows are cut into blocks. ggml's reference rounding.
at::Tensor requantized(const at::Tensor& values, BlockFormat format);

}  // namespace powerhouse
