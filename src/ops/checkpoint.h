// Activation checkpointing (Chen et al. 2016): a piece of the forward pass keeps its input alone and runs again in the
// backward pass.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>

namespace powerhouse::ops {

/// piece(x), whose intermediate results are not kept. Leaves that the piece reads get their gradients. It must be a
/// pure function of x and them: it runs twice. Higher derivatives are not there.
at::Tensor checkpoint(std::function<at::Tensor(const at::Tensor& x)> piece, const at::Tensor& x);

}  // namespace powerhouse::ops
