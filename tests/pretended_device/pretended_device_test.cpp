// What the device pretends: that a mixture of devices, and a host that touches its memory, are found.
#include <ATen/core/Tensor.h>
#include <c10/util/Exception.h>
#include <gtest/gtest.h>

#include "pretended_device/device.h"
#include "pretended_device/memory.h"
#include "random_tensor.h"

namespace powerhouse::pretended_device {
namespace {

using testing::random_tensor;

TEST(PretendedDevice, ComputesAsTheCpuDoes) {
  const at::Tensor a = random_tensor({3, 8}, at::kFloat, 1), b = random_tensor({8, 5}, at::kFloat, 2);
  const at::Tensor there = a.to(device());
  EXPECT_EQ(there.device(), device());
  EXPECT_TRUE(there.mm(b.to(device())).to(at::kCPU).equal(a.mm(b)));
  EXPECT_TRUE(there.t().narrow(0, 2, 3).contiguous().to(at::kCPU).equal(a.t().narrow(0, 2, 3)));
  EXPECT_EQ(there.sum().item<float>(), a.sum().item<float>());
  at::Tensor changed = there.clone();
  changed.narrow(0, 1, 1).mul_(2).add_(1);
  EXPECT_TRUE(changed.to(at::kCPU).narrow(0, 1, 1).equal(a.narrow(0, 1, 1).mul(2).add(1)));
}

TEST(PretendedDevice, AutogradRunsThere) {
  const at::Tensor a = random_tensor({4, 4}, at::kFloat, 3);
  const at::Tensor here = a.clone().requires_grad_(true);
  const at::Tensor there = a.to(device()).requires_grad_(true);
  here.mm(here).tanh().sum().backward();
  there.mm(there).tanh().sum().backward();
  EXPECT_EQ(there.grad().device(), device());
  EXPECT_TRUE(there.grad().to(at::kCPU).equal(here.grad()));
}

TEST(PretendedDevice, RefusesToMixDevices) {
  const at::Tensor a = random_tensor({4}, at::kFloat, 4);
  EXPECT_THROW(a.to(device()).add(a), c10::Error);
  EXPECT_THROW(a.to(device()).index_select(0, a.to(at::kLong).zero_()), c10::Error);
}

TEST(PretendedDeviceDeathTest, KeepsTheHostOut) {
  const at::Tensor there = random_tensor({4}, at::kFloat, 5).to(device());
  const auto* const data = there.const_data_ptr<float>();
  EXPECT_TRUE(Memory::get().holds(data));
  EXPECT_DEATH(
      {
        volatile float value = data[0];
        (void)value;
      },
      "");
}

}  // namespace
}  // namespace powerhouse::pretended_device
