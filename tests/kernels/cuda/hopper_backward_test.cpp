// Flash attention's backward kernels for Hopper against their definition, each case in three orders of threads; and
// what they cost.
#include <gtest/gtest.h>

#include "kernels/cuda/flash_backward_case.h"

namespace powerhouse::testing {
namespace {

using cuda_on_host::InstructionTraffic;
using cuda_on_host::Order;

void check(const FlashCase& one, std::uint64_t seed) {
  FlashBackwardProblem problem(one, seed);
  for (const Order order : cuda_on_host::kOrders) {
    const HostLauncher launched = problem.run(order);
    ASSERT_EQ(launched.text(), "clean") << one << "\norder " << static_cast<int>(order);
    ASSERT_EQ(problem.wrong(), "") << one << "\norder " << static_cast<int>(order);
  }
}

class HopperBackwardTest : public ::testing::TestWithParam<int> {
 protected:
  int most() const { return GetParam(); }
  int least() const { return least_head_dim(kFlashBackwardHeadDims, most()); }
};

TEST_P(HopperBackwardTest, Edges) {
  std::uint64_t seed = 1;
  std::vector<FlashCase> cases = flash_edge_cases(most());
  cases.push_back({.head_dim = most(), .queries = {128}, .keys = {1}, .scale = 6.0f});  // far below zero
  for (FlashCase one : cases) {
    if (one.modified()) continue;
    one.type = seed % 2 == 0 ? Element::bf16 : Element::f16;
    check(one, ++seed);
    if (HasFatalFailure()) return;
  }
}

TEST_P(HopperBackwardTest, RandomCases) {
  for (std::uint64_t seed = 1; seed <= 52; ++seed) {
    FlashCase one = random_flash_case(seed * 1000 + static_cast<std::uint64_t>(most()), least(), most());
    one.softcap = 0, one.alibi = false, one.dropout = 0;
    one.slices = seed % 3 == 0 ? 1 + static_cast<int>(seed % 2) : 0;
    check(one, seed);
    if (HasFatalFailure()) return;
  }
}

/// More heads of keys and documents than are taken together, so that there are several rounds, the last of them short.
TEST_P(HopperBackwardTest, RoundsOfHeads) {
  check({.heads = 10,
         .kv_heads = 5,
         .head_dim = most(),
         .queries = {150, 70},
         .keys = {300, 140},
         .packed = true,
         .right = 0},
        5);
}

/// With slices the same bits whatever the order, although blocks share queries: each adds when the ones before it have.
TEST_P(HopperBackwardTest, BlocksTakeTurns) {
  for (const int left : {-1, 90}) {
    for (const int right : {-1, 0}) {
      const FlashCase one{.heads = 2,
                          .kv_heads = left < 0 ? 1 : 2,
                          .head_dim = most(),
                          .queries = {190, 70},
                          .keys = {300, 140},
                          .packed = true,
                          .left = left,
                          .right = right,
                          .slices = 2};
      FlashBackwardProblem forward(one, 3), backward(one, 3);
      ASSERT_EQ(forward.run(Order::forward).text(), "clean");
      ASSERT_EQ(backward.run(Order::backward).text(), "clean");
      EXPECT_TRUE(forward.same_results(backward));
      EXPECT_EQ(forward.wrong(), "");
    }
  }
}

/// Shared memory without a bank conflict, and whole sectors.
TEST_P(HopperBackwardTest, TrafficIsIdeal) {
  FlashBackwardProblem problem({.heads = 2, .head_dim = most(), .queries = {128}, .keys = {256}}, 3, false);
  const HostLauncher launched = problem.run(Order::random, 1);
  ASSERT_EQ(launched.text(), "clean");
  for (const auto& report : launched.reports) {
    EXPECT_GT(report.loads + report.stores, 0) << "compiled without the hooks for plain accesses";
    for (const InstructionTraffic& row : report.traffic) {
      EXPECT_EQ(row.cost.paid, row.cost.ideal) << cuda_on_host::traffic_table({row});
    }
  }
}

INSTANTIATE_TEST_SUITE_P(HeadDims, HopperBackwardTest, ::testing::Values(64, 128, 256),
                         [](const auto& info) { return "D" + std::to_string(info.param); });

}  // namespace
}  // namespace powerhouse::testing
