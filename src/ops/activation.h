// Activations of the MLP, gated or not.
#pragma once

#include <ATen/core/Tensor.h>

#include "powerhouse/model_config.h"

namespace powerhouse::ops {

/// activation(x), elementwise over [rows, intermediate]. Differentiable.
at::Tensor activate(Activation activation, const at::Tensor& x);

/// activation(gate) * up. Differentiable.
at::Tensor gated_activation(Activation activation, const at::Tensor& gate, const at::Tensor& up);

}  // namespace powerhouse::ops
