// Gated activations of the MLP.
#pragma once

#include <ATen/core/Tensor.h>

#include "powerhouse/model_config.h"

namespace powerhouse::ops {

/// activation(gate) * up, elementwise over [rows, intermediate]. Differentiable.
at::Tensor gated_activation(Activation activation, const at::Tensor& gate, const at::Tensor& up);

}  // namespace powerhouse::ops
