// Products with a weight of blocks that lies on a device.
#pragma once

#include <ATen/core/Tensor.h>

#include "ops/weight.h"

namespace powerhouse::ops {

/// y = x Wᵀ + b, [rows, out] in x's type, by the weight's blocks on its device (Weight::device_blocks): in place where
/// rows are few, beyond that by the dense form, made for this product. x [rows, in] of a kernel type. No gradient.
at::Tensor block_product(const at::Tensor& x, const Weight& weight, const at::Tensor& bias = {});

/// The same in float32, for the head: the sums of few rows are not rounded.
at::Tensor block_product_f32(const at::Tensor& x, const Weight& weight, const at::Tensor& bias = {});

}  // namespace powerhouse::ops
