// Any loss of the logits of a language-model head, by chunks of rows, as one operation: [rows, vocabulary] never
// exists. linear_cross_entropy.h is the same for the one loss that has a kernel.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>

#include "ops/linear_cross_entropy.h"

namespace powerhouse::ops {

/// Of some rows.
struct ChunkLoss {
  at::Tensor loss{};             ///< scalar, their sum
  at::Tensor gradient{};         ///< by their logits [count, vocabulary]; undefined where none is wanted
  at::Tensor factor_gradient{};  ///< by their factors [count]; undefined where there are none
};

/// The loss of rows first, first + 1, ... by their logits [count, vocabulary] (float32, or float64), which it may write
/// over. Called without autograd, once a row, in their order.
using ChunkLossFunction = std::function<ChunkLoss(std::int64_t first, const at::Tensor& logits, bool gradient)>;

/// The sum of a loss over all rows, float32 (float64 for hidden of float64). Gradients are computed along with it and
/// kept. Differentiable once by hidden [rows, size], the head's matrix and bias, and `factors` [rows] where the loss
/// has such: float numbers a row that the function has been given beside.
at::Tensor head_loss(const at::Tensor& hidden, const VocabularyHead& head, const ChunkLossFunction& loss,
                     const at::Tensor& factors = {}, std::int64_t chunk_bytes = 32ll << 20);

/// The same where logits [rows, vocabulary] are there already, and differentiable themselves.
at::Tensor logits_loss(const at::Tensor& logits, const ChunkLossFunction& loss, const at::Tensor& factors = {},
                       std::int64_t chunk_bytes = 32ll << 20);

/// A chunk's loss whose gradients autograd finds: `loss` is a scalar made of logits and factors (undefined: none).
ChunkLoss chunk_loss_by_autograd(const at::Tensor& logits, const at::Tensor& factors, bool gradient,
                                 const std::function<at::Tensor(const at::Tensor&, const at::Tensor&)>& loss);

}  // namespace powerhouse::ops
