// What tests on the pretended device share: CUDA is that device from here on, and what is computed on it is held to
// what the CPU computes.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <vector>

#include "ops/device_kernels.h"
#include "pretended_device/device.h"
#include "pretended_device/graph.h"
#include "pretended_device/kernels.h"
#include "random_tensor.h"

namespace powerhouse::pretended_device {

using Tensors = std::vector<at::Tensor>;

class OnDevice : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { ops::pretend_cuda(device().type(), kernels()); }
};

class WithGraphs : public OnDevice {
 protected:
  void TearDown() override { EXPECT_EQ(outlived(), 0) << "something made while recording was kept"; }
};

inline at::Tensor there(const at::Tensor& x) { return x.defined() ? x.to(device()) : x; }
inline at::Tensor here(const at::Tensor& x) { return x.defined() ? x.to(at::kCPU) : x; }

/// The largest difference over the largest value of `expected`.
inline double error_of(const at::Tensor& found, const at::Tensor& expected) {
  const at::Tensor wide = expected.to(at::kDouble);
  return testing::max_difference(here(found), expected) / (wide.abs().max().item<double>() + 1e-30);
}

/// What a rounding of the type may change, a few times over.
inline double tolerance_of(at::ScalarType type) { return type == at::kFloat ? 2e-5 : type == at::kHalf ? 4e-3 : 3e-2; }

/// An op's value on the device, and its gradients by those inputs that have floats, as on the CPU. At least `launched`
/// kernels of ours ran, so that nothing was left to LibTorch.
inline void expect_same(const std::function<at::Tensor(const Tensors&)>& op, const Tensors& inputs, int launched,
                        bool gradients = true) {
  const auto run = [&](bool on_device) {
    Tensors leaves;
    for (const at::Tensor& input : inputs) {
      at::Tensor leaf = on_device ? there(input) : input;
      if (leaf.defined() && leaf.is_floating_point()) {
        leaf = leaf.detach().clone().set_requires_grad(gradients);
      }
      leaves.push_back(leaf);
    }
    const at::Tensor y = op(leaves);
    Tensors found{y.detach()};
    if (!gradients) return found;
    const at::Tensor dy = testing::random_tensor(y.sizes(), y.scalar_type(), 99);
    y.backward(on_device ? there(dy) : dy);
    for (const at::Tensor& leaf : leaves) {
      if (leaf.defined() && leaf.requires_grad()) found.push_back(leaf.grad());
    }
    return found;
  };
  const Tensors expected = run(false);
  const int before = launches();
  const Tensors found = run(true);
  EXPECT_GE(launches() - before, launched);
  ASSERT_EQ(found.size(), expected.size());
  for (std::size_t i = 0; i < found.size(); ++i) {
    ASSERT_EQ(found[i].defined(), expected[i].defined()) << i;
    if (!found[i].defined()) continue;
    EXPECT_EQ(found[i].device(), device()) << i;
    EXPECT_EQ(found[i].scalar_type(), expected[i].scalar_type()) << i;
    EXPECT_LT(error_of(found[i], expected[i]),
              std::max(tolerance_of(expected[0].scalar_type()), tolerance_of(expected[i].scalar_type())))
        << "result " << i;
  }
}

}  // namespace powerhouse::pretended_device
