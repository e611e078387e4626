// Exact numerics under autograd: values are those of our own kernels, which know no neighbours, and gradients those of
// the composition of LibTorch operations that computes the same but for the last bits.
#pragma once

#include <ATen/core/Tensor.h>

#include <initializer_list>

namespace powerhouse::ops {

/// Error{unsupported} unless all that are defined are float32 on the CPU.
void check_exact(std::initializer_list<at::Tensor> tensors);

/// The numbers of `value`, with the gradient of `differentiable`, of the same shape.
at::Tensor with_value(const at::Tensor& differentiable, const at::Tensor& value);

/// `value`, or where autograd looks on the same with the gradient of what `library()` returns.
template <typename Library>
at::Tensor differentiable_as(at::Tensor value, bool autograd, Library library) {
  return autograd ? with_value(library(), value) : value;
}

}  // namespace powerhouse::ops
