// Flash attention's backward kernels against their definition, each case in three orders of threads; and what they
// cost.
#include <gtest/gtest.h>

#include "kernels/cuda/flash_attention/backward_tile.h"
#include "kernels/cuda/flash_backward_case.h"

namespace powerhouse::testing {
namespace {

using cuda_on_host::InstructionTraffic;
using cuda_on_host::Order;

void check(const FlashCase& one, std::uint64_t seed) {
  FlashBackwardProblem problem(one, seed);
  for (const Order order : {Order::forward, Order::backward, Order::random}) {
    const HostLauncher launched = problem.run(order);
    ASSERT_EQ(launched.text(), "clean") << one << "\norder " << static_cast<int>(order);
    ASSERT_EQ(problem.wrong(), "") << one << "\norder " << static_cast<int>(order);
  }
}

class FlashBackwardTest : public ::testing::TestWithParam<int> {
 protected:
  int most() const { return GetParam(); }
  int least() const {
    int below = 0;
    for (const int tile : kFlashHeadDims) below = tile < most() ? tile : below;
    return below + 8;
  }
};

TEST_P(FlashBackwardTest, Edges) {
  std::uint64_t seed = 1;
  for (FlashCase one : flash_edge_cases(most())) {
    one.type = seed % 2 == 0 ? Element::bf16 : Element::f16;
    check(one, ++seed);
    if (HasFatalFailure()) return;
  }
}

TEST_P(FlashBackwardTest, RandomCases) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    FlashCase one = random_flash_case(seed * 1000 + static_cast<std::uint64_t>(most()), least(), most());
    one.slices = seed % 3 == 0 ? 1 + static_cast<int>(seed % 2) : 0;
    check(one, seed);
    if (HasFatalFailure()) return;
  }
}

INSTANTIATE_TEST_SUITE_P(HeadDims, FlashBackwardTest, ::testing::ValuesIn(kFlashHeadDims),
                         [](const auto& info) { return "D" + std::to_string(info.param); });

}  // namespace
}  // namespace powerhouse::testing
