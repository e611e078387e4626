// Tensors of reproducible random numbers, and how far two tensors are apart.
#pragma once

#include <ATen/core/Tensor.h>

#include <cmath>

#include "ops/tensors.h"
#include "support/philox.h"

namespace powerhouse::testing {

/// Roughly normal values (a sum of four uniforms), float32 and then rounded to `type`.
inline at::Tensor random_tensor(at::IntArrayRef sizes, at::ScalarType type = at::kFloat, std::uint64_t seed = 1) {
  at::Tensor tensor = empty_tensor(sizes, at::kFloat);
  const Random random(seed, RandomStream::data);
  float* data = tensor.data_ptr<float>();
  for (std::int64_t i = 0; i < tensor.numel(); ++i) {
    double sum = -2.0;
    for (const std::uint32_t word : random.block(static_cast<std::uint64_t>(i))) sum += word * 0x1.0p-32;
    data[i] = static_cast<float>(sum * std::sqrt(3.0));
  }
  return tensor.to(type);
}

/// The largest |a - b|, in float64. Shapes must agree.
inline double max_difference(const at::Tensor& a, const at::Tensor& b) {
  EXPECT_EQ(a.sizes(), b.sizes());
  if (a.sizes() != b.sizes() || a.numel() == 0) return 0;
  return a.to(at::kDouble).sub(b.to(at::kDouble)).abs().max().item<double>();
}

inline bool same_bits(const at::Tensor& a, const at::Tensor& b) {
  return a.scalar_type() == b.scalar_type() && a.sizes() == b.sizes() && a.equal(b);
}

}  // namespace powerhouse::testing
