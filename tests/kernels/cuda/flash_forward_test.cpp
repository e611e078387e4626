// Flash attention's forward kernel against its definition, each case in three orders of threads; and what it costs.
#include <gtest/gtest.h>

#include <algorithm>

#include "kernels/cuda/flash_forward_case.h"
#include "kernels/cuda/flash_forward_launch.h"

namespace powerhouse::testing {
namespace {

using cuda_on_host::InstructionTraffic;
using cuda_on_host::LaunchReport;
using cuda_on_host::Order;

void check(const FlashCase& one, std::uint64_t seed) {
  FlashProblem problem(one, seed);
  for (const Order order : cuda_on_host::kOrders) {
    const LaunchReport report = problem.run({.order = order, .seed = seed});
    ASSERT_FALSE(report.fault) << one << "\norder " << static_cast<int>(order) << ": " << report.text();
    ASSERT_EQ(problem.wrong(), "") << one << "\norder " << static_cast<int>(order);
  }
}

class FlashForwardTest : public ::testing::TestWithParam<int> {
 protected:
  int most() const { return GetParam(); }
  int least() const { return least_head_dim(kFlashHeadDims, most()); }
};

TEST_P(FlashForwardTest, Edges) {
  std::uint64_t seed = 1;
  for (FlashCase one : flash_edge_cases(most())) {
    for (const Element type : {Element::bf16, Element::f16}) {
      one.type = type;
      check(one, ++seed);
      if (HasFatalFailure()) return;
    }
  }
}

TEST_P(FlashForwardTest, HeadSizesBetween) {
  for (int head_dim = least(); head_dim < most(); head_dim += 8) {
    check({.heads = 2, .head_dim = head_dim, .queries = {20}, .keys = {70}, .right = 0}, 90);
    if (HasFatalFailure()) return;
  }
}

TEST_P(FlashForwardTest, RandomCases) {
  for (std::uint64_t seed = 1; seed <= 24; ++seed) {
    check(random_flash_case(seed * 1000 + static_cast<std::uint64_t>(most()), least(), most()), seed);
    if (HasFatalFailure()) return;
  }
}

TEST_P(FlashForwardTest, ScoresThatOverflowAnExponential) {
  check({.head_dim = most(), .queries = {70}, .keys = {140}, .right = 0, .scale = 4.0f}, 5);
  check({.head_dim = most(), .queries = {70}, .keys = {140}, .alibi = true, .sinks = true, .scale = 4.0f}, 6);
}

TEST_P(FlashForwardTest, DropsWhatThePlainDefinitionDrops) {
  const int size = most() < 64 ? most() : 64;
  FlashProblem problem({.heads = 2,
                        .kv_heads = 2,
                        .head_dim = most(),
                        .queries = {70},
                        .keys = {size},
                        .scale = 0.01f,
                        .dropout = 0.4f,
                        .one_hot = true},
                       8);
  ASSERT_FALSE(problem.run({}).fault);
  EXPECT_EQ(problem.wrong_masks(), 0);
}

/// Shared memory without a bank conflict, whole sectors, and no byte of keys and values read twice by a block.
TEST_P(FlashForwardTest, TrafficIsIdeal) {
  const int rows = cuda::flash_forward_launch(most(), Element::bf16, false).rows;
  const int keys = 192, heads = 2;
  for (const float softcap : {0.0f, 3.0f}) {
    FlashProblem problem(
        {.heads = heads, .head_dim = most(), .queries = {2 * rows}, .keys = {keys}, .softcap = softcap}, 3, false);
    const LaunchReport report = problem.run({.traffic_block = 1});
    ASSERT_FALSE(report.fault) << report.text();
    EXPECT_GT(report.stores, 0) << "the kernel is compiled without the hooks for plain accesses";
    for (const InstructionTraffic& row : report.traffic) {
      EXPECT_EQ(row.cost.paid, row.cost.ideal) << cuda_on_host::traffic_table({row});
      if (std::string(row.kind) == "st.global" || std::string(row.kind) == "cp.async from global") {
        EXPECT_EQ(row.size, row.lanes == row.requests * 8 ? 4u : 16u) << "only lse is stored in pieces of 4 bytes";
      }
    }
    const auto bytes = static_cast<std::uint64_t>(most() * 2);
    const auto blocks = static_cast<std::uint64_t>(2 * heads);
    EXPECT_EQ(problem.memory().named("q").bytes_read, blocks * static_cast<std::uint64_t>(rows) * bytes);
    for (const char* name : {"k", "v"}) {
      EXPECT_EQ(problem.memory().named(name).bytes_read, blocks * keys * bytes) << name;
    }
    EXPECT_EQ(problem.memory().named("out").bytes_written, blocks * static_cast<std::uint64_t>(rows) * bytes);
  }
}

/// Tiles that no row sees are not read: of a causal square half, of a window its width.
TEST_P(FlashForwardTest, SkipsTilesThatNobodySees) {
  const cuda::FlashForwardLaunch launch = cuda::flash_forward_launch(most(), Element::bf16, false);
  const int rows = launch.rows, tile = launch.keys;
  const auto keys_read = [&](const FlashCase& one) {
    FlashProblem problem(one, 4, false);
    EXPECT_FALSE(problem.run({}).fault);
    return static_cast<int>(problem.memory().named("k").bytes_read) / (most() * 2);
  };
  // The first block sees keys up to its last row, whose tile is read to its end; the second all, or from 64 before it.
  const int first = (rows + tile - 1) / tile * tile;
  EXPECT_EQ(keys_read({.head_dim = most(), .queries = {2 * rows}, .keys = {2 * rows}, .right = 0}), first + 2 * rows);
  EXPECT_EQ(keys_read({.head_dim = most(), .queries = {2 * rows}, .keys = {2 * rows}, .left = 64, .right = 0}),
            first + 2 * rows - (rows - 64) / tile * tile);
}

INSTANTIATE_TEST_SUITE_P(HeadDims, FlashForwardTest, ::testing::ValuesIn(kFlashHeadDims),
                         [](const auto& info) { return "D" + std::to_string(info.param); });

}  // namespace
}  // namespace powerhouse::testing
