// Sums of matrix products, C = scale (A1 B1 + A2 B2 + ...) + bias, as forward and backward passes of linear maps are:
// a weight and its low-rank terms, the gradients of layers that read one input. Products of bf16 whose operands are
// turned any way run on our own kernel where the processor has dot products of bf16 (kernels/cpu/generic/matmul.h) and
// are summed in float32; LibTorch does the others, one after the other. Not differentiable.
#pragma once

#include <ATen/core/Tensor.h>

#include <span>

namespace powerhouse::ops {

/// a [rows, depth], b [depth, columns], both of one float type, in any strides.
struct MatrixPair {
  at::Tensor a;
  at::Tensor b;
};

struct MatmulOptions {
  float scale = 1;    ///< of the products
  at::Tensor bias{};  ///< [columns] of any float type, or undefined
  bool add = false;   ///< onto what y holds
};

/// Into y [rows, columns], rows of it side by side or apart. y has the pairs' type, or is float32 beside bf16.
void sum_products(const at::Tensor& y, std::span<const MatrixPair> pairs, const MatmulOptions& options = {});

/// A new [rows, columns] of `type`.
at::Tensor sum_of_products(std::span<const MatrixPair> pairs, at::ScalarType type, const MatmulOptions& options = {});

}  // namespace powerhouse::ops
