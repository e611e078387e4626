// Activation checkpointing (Chen et al. 2016): a piece of the forward pass keeps its input alone and runs again in the
// backward pass.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>

namespace powerhouse::ops {

/// The second run of a piece makes what the backward pass reads, and nobody looks at the numbers of what it returns.
enum class PieceRun { first, again };
using Piece = std::function<at::Tensor(const at::Tensor& x, PieceRun run)>;

/// piece(x), whose intermediate results are not kept. Leaves that the piece reads get their gradients. It must be a
/// pure function of x and them: it runs twice. Higher derivatives are not there.
at::Tensor checkpoint(Piece piece, const at::Tensor& x);

}  // namespace powerhouse::ops
