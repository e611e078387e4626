// RMSNorm (Zhang and Sennrich 2019) with the rounding of Hugging Face's Llama: normalised in float32, rounded to the
// input's type, then multiplied by the weight.
#pragma once

#include <ATen/core/Tensor.h>

namespace powerhouse::ops {

/// x [rows, hidden], weight [hidden]; returns x's shape and type. Differentiable.
at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& weight, float epsilon);

}  // namespace powerhouse::ops
