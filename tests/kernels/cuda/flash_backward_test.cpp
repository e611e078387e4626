// Flash attention's backward kernels against their definition, each case in three orders of threads; and what they
// cost.
#include <gtest/gtest.h>

#include "kernels/cuda/flash_attention/backward_tile.h"
#include "kernels/cuda/flash_attention/launchers.h"
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

class FlashBackwardTest : public ::testing::TestWithParam<int> {
 protected:
  int most() const { return GetParam(); }
  int least() const { return least_head_dim(kFlashBackwardHeadDims, most()); }
};

TEST_P(FlashBackwardTest, Edges) {
  std::uint64_t seed = 1;
  std::vector<FlashCase> cases = flash_edge_cases(most());
  cases.push_back(kFarBelowZero);
  cases.back().head_dim = most();
  for (FlashCase one : cases) {
    one.type = seed % 2 == 0 ? Element::bf16 : Element::f16;
    check(one, ++seed);
    if (HasFatalFailure()) return;
  }
}

TEST_P(FlashBackwardTest, RandomCases) {
  for (std::uint64_t seed = 1; seed <= 45; ++seed) {
    FlashCase one = random_flash_case(seed * 1000 + static_cast<std::uint64_t>(most()), least(), most());
    one.slices = seed % 3 == 0 ? 1 + static_cast<int>(seed % 2) : 0;
    check(one, seed);
    if (HasFatalFailure()) return;
  }
}

TEST_P(FlashBackwardTest, HeadSizesBetween) {
  for (int head_dim = least(); head_dim < most(); head_dim += 8) {
    check({.heads = 2, .head_dim = head_dim, .queries = {20}, .keys = {70}, .right = 0}, 90);
    if (HasFatalFailure()) return;
  }
}

TEST_P(FlashBackwardTest, DropsWhatThePlainDefinitionDrops) {
  const int size = most() < 64 ? most() : 64;
  FlashBackwardProblem problem({.heads = 2,
                                .kv_heads = 2,
                                .head_dim = most(),
                                .queries = {size},
                                .keys = {150},
                                .scale = 0.01f,
                                .dropout = 0.4f,
                                .one_hot = true},
                               8);
  ASSERT_EQ(problem.run(Order::random).text(), "clean");
  EXPECT_EQ(problem.wrong_masks(), 0);
}

/// With slices the same bits whatever the order, although blocks share queries.
TEST_P(FlashBackwardTest, SlicesGiveTheSameBits) {
  const FlashCase one{.heads = 2, .head_dim = most(), .queries = {70}, .keys = {300}, .slices = 2};
  FlashBackwardProblem forward(one, 3), backward(one, 3);
  ASSERT_EQ(forward.run(Order::forward).text(), "clean");
  ASSERT_EQ(backward.run(Order::backward).text(), "clean");
  EXPECT_TRUE(forward.same_results(backward));
  EXPECT_EQ(forward.wrong(), "");
}

/// Bytes that all launches have to move: queries and gradients of the output once for each tile of keys, keys and
/// values once for each head of them, and sums of dq, in float32, once for each tile of keys, and for each beginning
/// and end.
void expect_least_bytes(const FlashBackwardProblem& problem, const FlashCase& one, int tile_keys) {
  const auto of = [](int a, int b, int c) { return static_cast<std::uint64_t>(a) * static_cast<unsigned>(b * c); };
  const std::uint64_t rows = of(one.heads, one.queries[0], 1), tiles = of(one.keys[0] / tile_keys, 1, 1);
  const std::uint64_t queries = of(one.heads, one.queries[0], one.head_dim * 2), sums = queries * 2;
  const std::uint64_t keys = of(one.kv_heads, one.keys[0], one.head_dim * 2);
  const struct {
    const char* name;
    std::uint64_t read, written;
  } least[] = {{"q", tiles * queries, 0},
               {"k", keys, 0},
               {"v", keys, 0},
               {"dout", (tiles + 1) * queries, 0},  // once more for delta
               {"out", queries, 0},
               {"lse", rows * 4, 0},
               {"dq", 0, queries},
               {"dk", 0, keys},
               {"dv", 0, keys},
               {"workspace", tiles * (rows * 8 + sums) + sums, rows * 8 + (tiles + 1) * sums}};
  for (const auto& tensor : least) {
    EXPECT_EQ(problem.bytes().at(tensor.name).read, tensor.read) << tensor.name;
    EXPECT_EQ(problem.bytes().at(tensor.name).written, tensor.written) << tensor.name;
  }
}

/// Shared memory without a bank conflict, whole sectors, and no byte moved that the algorithm does not have to move.
TEST_P(FlashBackwardTest, TrafficIsIdeal) {
  for (const float softcap : {0.0f, 3.0f}) {
    const FlashCase one{.heads = 2, .head_dim = most(), .queries = {128}, .keys = {256}, .softcap = softcap};
    FlashBackwardProblem problem(one, 3, false);
    const HostLauncher launched = problem.run(Order::random, 1);
    ASSERT_EQ(launched.text(), "clean");
    for (const auto& report : launched.reports) {
      EXPECT_GT(report.loads + report.stores, 0) << "compiled without the hooks for plain accesses";
      for (const InstructionTraffic& row : report.traffic) {
        EXPECT_EQ(row.cost.paid, row.cost.ideal) << cuda_on_host::traffic_table({row});
      }
    }
    cuda::visit_flash_backward_tile(most(), [&](auto size) {
      constexpr int kSize = decltype(size)::kValue;
      expect_least_bytes(
          problem, one,
          softcap > 0 ? cuda::FlashBackwardTile<kSize, true>::kBlockN : cuda::FlashBackwardTile<kSize>::kBlockN);
    });
  }
}

INSTANTIATE_TEST_SUITE_P(HeadDims, FlashBackwardTest, ::testing::ValuesIn(kFlashBackwardHeadDims),
                         [](const auto& info) { return "D" + std::to_string(info.param); });

}  // namespace
}  // namespace powerhouse::testing
