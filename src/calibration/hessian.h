// The Hessian of a linear layer's squared error: 2 / tokens times the sum of x x^T over its inputs x, in float32.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

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

}  // namespace powerhouse
