// Linear maps of one input as one autograd node: what adapted_linear.h computes.
//
// The products of a group come together: all A read x at once, each y is the sum of its weight's and its terms'
// products, and x's gradient is one sum over all of them, rounded once. Saved for backward are x, unless its own node
// can make it again (ops/remake.h), and the products x Aᵀ, [rows, rank] each. A weight of blocks is made plain numbers
// for the product alone, in forward and again in backward.
#pragma once

#include <vector>

#include "ops/adapted_linear.h"

namespace powerhouse::ops {

/// y of each part, in x's type. Shapes are trusted.
std::vector<at::Tensor> linear_group(const at::Tensor& x, std::span<const LinearPart> parts);

}  // namespace powerhouse::ops
