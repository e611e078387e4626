// Kullback-Leibler divergence of logits from a reference's, added up over rows in float64.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace powerhouse {

struct DivergenceSums {
  double divergence = 0;    // in nats
  std::int64_t same = 0;    // rows whose most probable token is the same
  std::int64_t tokens = 0;  // rows

  /// Both float32 [rows, vocabulary].
  void add(const at::Tensor& reference, const at::Tensor& logits);
  double mean() const { return divergence / static_cast<double>(tokens); }
};

}  // namespace powerhouse
