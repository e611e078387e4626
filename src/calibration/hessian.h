// The Hessian of a linear layer's squared error: 2 / tokens times the sum of x x^T over its inputs x, in float32.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <cstdint>

#include "model/causal_lm_impl.h"

namespace powerhouse {

class Hessian {
 public:
  Hessian() = default;

  /// x float32 [tokens, in].
  void add(const at::Tensor& x);
  std::int64_t tokens() const { return tokens_; }
  /// float32 [in, in]; undefined where nothing was added.
  at::Tensor matrix() const;

 private:
  at::Tensor sum_;  // tiles on and above the diagonal count
  std::int64_t tokens_ = 0;
};

/// Of maps that are looked at in one pass, each with a Hessian of its own: experts. One is always taken.
inline constexpr std::size_t kBytesOfHessians = std::size_t{1} << 30;

/// Bytes that the Hessians of a layer's maps take at once, with what is made of one of them.
std::size_t hessian_bytes(const Model& model);

}  // namespace powerhouse
