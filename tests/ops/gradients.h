// Gradients held to finite differences, and those of two ways to compute the same held to each other.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "random_tensor.h"

namespace powerhouse::testing {

/// bf16 and float16: a rounding of what went in, of what comes out, and RMSNorm's in between.
inline double rounding_tolerance(at::ScalarType type) {
  return type == at::kFloat ? 1e-5 : type == at::kHalf ? 2e-3 : 1.6e-2;
}

// Central differences in float64 against the gradient that autograd gives.
template <typename Function>
void check_gradient(const Function& function, const at::Tensor& input) {
  const at::Tensor x = input.detach().clone().requires_grad_(true);
  const at::Tensor weights = random_tensor(function(input).sizes(), at::kDouble, 99);
  function(x).mul(weights).sum().backward();
  const at::Tensor gradient = x.grad();
  ASSERT_TRUE(gradient.defined());
  const at::Tensor flat = input.detach().clone().view({-1});
  for (std::int64_t i = 0; i < flat.numel(); i += 3) {
    constexpr double kStep = 1e-6;
    const auto at_offset = [&](double offset) {
      const at::Tensor moved = flat.clone();
      moved.select(0, i).add_(offset);
      return function(moved.view(input.sizes())).mul(weights).sum().template item<double>();
    };
    const double expected = (at_offset(kStep) - at_offset(-kStep)) / (2 * kStep);
    EXPECT_NEAR(gradient.view({-1}).select(0, i).template item<double>(), expected, 1e-6 * (1 + std::abs(expected)));
  }
}

/// The gradients of sum(function(inputs) * weights), with random weights, for all inputs that are defined.
template <typename Function>
std::vector<at::Tensor> gradients(const Function& function, const std::vector<at::Tensor>& inputs) {
  std::vector<at::Tensor> leaves;
  for (const at::Tensor& input : inputs) {
    leaves.push_back(input.defined() ? input.detach().clone().requires_grad_(true) : input);
  }
  const at::Tensor y = function(leaves);
  y.backward(random_tensor(y.sizes(), y.scalar_type(), 99));
  std::vector<at::Tensor> result;
  for (const at::Tensor& leaf : leaves) result.push_back(leaf.defined() ? leaf.grad() : leaf);
  return result;
}

/// Finite differences of `function`, which takes all of `inputs` (float64), in each of them.
template <typename Function>
void check_gradients(const Function& function, const std::vector<at::Tensor>& inputs) {
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    if (!inputs[i].defined()) continue;
    SCOPED_TRACE(::testing::Message() << "input " << i);
    check_gradient(
        [&](const at::Tensor& x) {
          std::vector<at::Tensor> all = inputs;
          all[i] = x;
          return function(all);
        },
        inputs[i]);
  }
}

/// `found` in any type, `expected` in float64: within `tolerance` of the largest |expected|.
inline void expect_near(const at::Tensor& found, const at::Tensor& expected, double tolerance) {
  ASSERT_EQ(found.defined(), expected.defined());
  if (!found.defined() || expected.numel() == 0) return;
  EXPECT_LE(max_difference(found, expected), tolerance * (1e-30 + expected.abs().max().item<double>()));
}

inline std::vector<at::Tensor> as_type(const std::vector<at::Tensor>& tensors, at::ScalarType type) {
  std::vector<at::Tensor> result;
  for (const at::Tensor& tensor : tensors) result.push_back(tensor.defined() ? tensor.to(type) : tensor);
  return result;
}

}  // namespace powerhouse::testing
