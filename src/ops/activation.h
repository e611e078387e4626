// Activations of the MLP, gated or not.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>

#include "kernels/cpu/elementwise_params.h"
#include "powerhouse/device.h"
#include "powerhouse/model_config.h"

namespace powerhouse::ops {

/// What the kernels call it; nothing where they don't know it.
std::optional<cpu::ActivationKind> kernel_kind(Activation activation);

/// activation(x), elementwise over [rows, intermediate]. Differentiable.
at::Tensor activate(Activation activation, const at::Tensor& x, Numerics numerics = Numerics::fast);

/// activation(gate) * up. Differentiable.
at::Tensor gated_activation(Activation activation, const at::Tensor& gate, const at::Tensor& up,
                            Numerics numerics = Numerics::fast);

/// cap * tanh(x * scale / cap) by the kernels' tanh, in exact numerics. Differentiable.
at::Tensor exact_softcap(const at::Tensor& x, float scale, float cap);

}  // namespace powerhouse::ops
