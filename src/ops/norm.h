// RMSNorm (Zhang and Sennrich 2019) and LayerNorm (Ba et al. 2016) with Hugging Face's roundings: normalised in
// float32; RMSNorm rounds to the input's type before the weight is multiplied, except with `unit_offset` or
// `round_once`.
#pragma once

#include <ATen/core/Tensor.h>

#include "powerhouse/device.h"
#include "powerhouse/model_config.h"

namespace powerhouse::ops {

/// Over the last dimension of x [..., size]. `weight` and `bias` are [size], or [heads, size] for x [rows, heads,
/// size], or undefined where the norm has none. Returns x's shape and type. Differentiable.
at::Tensor norm(const at::Tensor& x, const Norm& choice, const at::Tensor& weight, const at::Tensor& bias = {},
                Numerics numerics = Numerics::fast);

}  // namespace powerhouse::ops
