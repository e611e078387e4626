// A weight of blocks as a temporary of plain numbers, for one product: the weight keeps its blocks only.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "ops/weight.h"

namespace powerhouse {

/// The canonical rows [first, first + count) of such a matrix (of all experts' matrices, one behind the other), as
/// [count, columns] of `type` (float32, bfloat16 or float16).
at::Tensor dequantized_rows(const Weight& weight, std::int64_t first, std::int64_t count, at::ScalarType type);

/// All of it, in its shape: rows of outputs, however the weight is handed out.
at::Tensor dequantized(const Weight& weight, at::ScalarType type);

}  // namespace powerhouse
