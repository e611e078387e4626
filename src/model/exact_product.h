// Products by a plan's matrices outside a pass: the bits of the plan, with gradients, for the decoder in exact
// numerics.
#pragma once

#include <ATen/core/Tensor.h>

#include "model/plan_parts.h"
#include "model/weights.h"

namespace powerhouse {

/// x [rows, inputs] in float32 by the matrix and its bias, as a plan multiplies few rows. No gradient.
at::Tensor multiply_rows(const PlanMatrix& matrix, const at::Tensor& x);

/// The same of the matrix of `role`, with the gradient of x through the dense form, which is made only for that.
at::Tensor planned_linear(const PlanMatrix& matrix, const LayerWeights& weights, Role role, const at::Tensor& x);

}  // namespace powerhouse
