// y = x Wᵀ + b + Σ scale (dropout(x) Aᵀ) Bᵀ: linear maps with low-rank terms (LoRA, Hu et al. 2021) over every weight
// format, as one autograd node for all that read the same x (ops/linear_node.h).
#pragma once

#include <ATen/core/Tensor.h>

#include <span>
#include <vector>

#include "ops/dropout.h"
#include "ops/weight.h"
#include "powerhouse/device.h"

namespace powerhouse::ops {

/// A and B may be of another float type than x (float32 masters beside bf16): they are rounded to x's at each use, and
/// their gradients come back in their own type.
struct LowRankTerm {
  at::Tensor a{};  ///< [rank, in]
  at::Tensor b{};  ///< [out, rank]
  float scale = 1;
  Dropout dropout{};  ///< of this term's x; rate 0 where the model evaluates
};

/// One map: a matrix [out, in], or where it is undefined a weight in any format, handed out transposed or not.
struct LinearPart {
  at::Tensor matrix{};
  Weight weight{};
  at::Tensor bias{};  ///< [out], or undefined
  std::vector<LowRankTerm> terms{};
  /// Nobody reads y, which then is zeros where numerics are fast: only gradients are wanted, and their pass is next.
  bool unread = false;
};

/// x [rows, in]; weight [out, in]; bias [out] or undefined. Returns [rows, out] in x's type. Differentiable once, in x,
/// in A and B, and in weight and bias where they are tensors that require it. Products of float16 are float32's.
/// Error{usage} for shapes that don't fit. Exact numerics as in ops/linear.h.
at::Tensor adapted_linear(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                          std::span<const LowRankTerm> terms, Numerics numerics = Numerics::fast);

/// The same by a weight in any format, handed out transposed or not.
at::Tensor adapted_linear(const at::Tensor& x, const Weight& weight, const at::Tensor& bias,
                          std::span<const LowRankTerm> terms, Numerics numerics = Numerics::fast);

/// y of each part. The gradient for x is one sum over all of them.
std::vector<at::Tensor> adapted_linears(const at::Tensor& x, std::span<const LinearPart> parts,
                                        Numerics numerics = Numerics::fast);

}  // namespace powerhouse::ops
