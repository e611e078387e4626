// y = x Wᵀ + b. Weights are [out, in], as Hugging Face stores them.
#pragma once

#include <ATen/core/Tensor.h>

#include "powerhouse/device.h"

namespace powerhouse::ops {

/// x [rows, in], weight [out, in], bias [out] or undefined; returns [rows, out] in x's type. Differentiable.
/// In exact numerics (float32 alone) a row's bits depend on that row alone.
at::Tensor linear(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias = {},
                  Numerics numerics = Numerics::fast);

/// The same, rounded only once, to float32: for the language-model head.
at::Tensor linear_f32(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias = {},
                      Numerics numerics = Numerics::fast);

}  // namespace powerhouse::ops
