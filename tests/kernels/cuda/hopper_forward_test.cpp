// Hopper's forward kernel against its definition, each case in three orders of threads; and what it costs.
#include "kernels/cuda/hopper_forward_run.h"

#include <gtest/gtest.h>

#include <iterator>
#include <vector>

#include "kernels/cuda/flash_attention/hopper_tile.h"
#include "kernels/cuda/flash_attention/launchers.h"
#include "kernels/cuda/flash_forward_case.h"

namespace powerhouse::testing {
namespace {

using cuda_on_host::LaunchReport;
using cuda_on_host::Order;

class HopperForwardTest : public ::testing::TestWithParam<int> {
 protected:
  int most() const { return GetParam(); }
  int least() const { return most() == 64 ? 40 : most() / 2 + 8; }
  template <bool kCached>
  FlashProblem::Run run() const {
    switch (most()) {
      case 64: return run_hopper_forward<64, kCached>;
      case 128: return run_hopper_forward<128, kCached>;
      default: return run_hopper_forward<256, kCached>;
    }
  }
  /// Orders of items by turns: with an odd seed in pairs.
  void check(const FlashCase& one, std::uint64_t seed,
             std::vector<Order> orders = {std::begin(cuda_on_host::kOrders), std::end(cuda_on_host::kOrders)}) const {
    FlashProblem problem(one, seed);
    if (!cuda::hopper_fits(problem.params())) return;
    for (const Order order : orders) {
      const LaunchReport report =
          problem.run({.order = order, .seed = seed}, seed % 2 == 0 ? run<true>() : run<false>());
      ASSERT_FALSE(report.fault) << one << "\norder " << static_cast<int>(order) << ": " << report.text();
      ASSERT_EQ(problem.wrong(), "") << one << "\norder " << static_cast<int>(order);
    }
  }
};

TEST_P(HopperForwardTest, Edges) {
  std::uint64_t seed = 1;
  for (FlashCase one : flash_edge_cases(most())) {
    for (const Element type : {Element::bf16, Element::f16}) {
      one.type = type;
      check(one, ++seed);
      if (HasFatalFailure()) return;
    }
  }
}

/// Blocks take several items, more than stages hold, of documents that end in different tiles.
TEST_P(HopperForwardTest, BlocksThatStay) {
  for (const std::uint64_t seed : {30, 31}) {
    check({.heads = 2, .kv_heads = 2, .head_dim = most(), .queries = {420}, .keys = {500}, .right = 0}, seed,
          {Order::random});
    check({.heads = 2,
           .head_dim = most(),
           .queries = {450, 0, 130, 1},
           .keys = {450, 9, 300, 20},
           .packed = true,
           .right = 0},
          seed, {Order::random});
    check({.heads = 4, .head_dim = most(), .queries = {200}, .keys = {30}, .right = 0}, seed,
          {Order::random});  // rows that see nothing
    if (HasFatalFailure()) return;
  }
}

TEST_P(HopperForwardTest, HeadSizesBetween) {
  for (int head_dim = least(); head_dim < most(); head_dim += 8) {
    check({.heads = 2, .head_dim = head_dim, .queries = {20}, .keys = {70}, .right = 0}, 90);
    if (HasFatalFailure()) return;
  }
}

TEST_P(HopperForwardTest, RandomCases) {
  for (std::uint64_t seed = 1; seed <= 24; ++seed) {
    check(random_flash_case(seed * 1000 + static_cast<std::uint64_t>(most()), least(), most()), seed);
    if (HasFatalFailure()) return;
  }
}

TEST_P(HopperForwardTest, ScoresThatOverflowAnExponential) {
  check({.head_dim = most(), .queries = {70}, .keys = {140}, .right = 0, .scale = 4.0f}, 5);
  check({.head_dim = most(), .queries = {70}, .keys = {140}, .alibi = true, .sinks = true, .scale = 4.0f}, 6);
}

/// No bank conflict of plain accesses, whole sectors, and no byte of keys and values copied twice for a tile of
/// queries.
TEST_P(HopperForwardTest, TrafficIsIdeal) {
  const int rows = most() == 64 ? cuda::HopperForwardTile<64>::kBlockM : cuda::HopperForwardTile<128>::kBlockM;
  const int keys = 300, heads = 2;
  FlashProblem problem({.heads = heads, .head_dim = most(), .queries = {2 * rows}, .keys = {keys}}, 3, false);
  const LaunchReport report = problem.run({.traffic_block = 1}, run<false>());
  ASSERT_FALSE(report.fault) << report.text();
  EXPECT_GT(report.stores, 0) << "the kernel is compiled without the hooks for plain accesses";
  for (const auto& row : report.traffic) {
    EXPECT_EQ(row.cost.paid, row.cost.ideal) << cuda_on_host::traffic_table({row});
  }
  const auto bytes = static_cast<std::uint64_t>(most() * 2);
  const auto tiles = static_cast<std::uint64_t>(2 * heads);
  EXPECT_EQ(problem.memory().named("q").bytes_read, tiles * static_cast<std::uint64_t>(rows) * bytes);
  for (const char* name : {"k", "v"}) {
    EXPECT_EQ(problem.memory().named(name).bytes_read, tiles * keys * bytes) << name;
  }
  EXPECT_EQ(problem.memory().named("out").bytes_written, tiles * static_cast<std::uint64_t>(rows) * bytes);
}

INSTANTIATE_TEST_SUITE_P(HeadDims, HopperForwardTest, ::testing::Values(64, 128, 256),
                         [](const auto& info) { return "D" + std::to_string(info.param); });

}  // namespace
}  // namespace powerhouse::testing
