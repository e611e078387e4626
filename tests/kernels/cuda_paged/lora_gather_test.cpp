// Low-rank terms of several adapters under the shim.
#include <gtest/gtest.h>

#include <random>

#include "kernels/cuda_paged/lora_case.h"
#include "kernels/cuda_rows/device_buffers.h"

namespace powerhouse::testing {
namespace {

using cuda_on_host::Order;

void expect_right(const LoraCase& one) {
  LoraProblem problem(one);
  for (const Order order : kSchedules) {
    const CountingLauncher launcher = problem.run(order);
    ASSERT_EQ(launcher.text(), "clean") << one;
    ASSERT_EQ(problem.wrong(), "") << one;
  }
}

TEST(LoraGatherTest, IsRightWhereShapesGoWrongFirst) {
  for (const LoraCase& one : lora_edge_cases()) expect_right(one);
}

TEST(LoraGatherTest, IsRightForManyShapes) {
  std::mt19937 engine(8);
  for (int i = 0; i < 210; ++i) {
    LoraCase one;
    one.type = kElements[engine() % 3];
    one.weight_type = kElements[engine() % 3];
    one.aligned = i % 3 != 0;
    one.inputs = static_cast<int>(engine() % 20 + 1) * 8 + (one.aligned ? 0 : static_cast<int>(engine() % 8));
    one.outputs = static_cast<int>(engine() % 90 + 1);
    one.ranks.clear(), one.adapters.clear();
    const int adapters = static_cast<int>(engine() % 3 + 1);
    for (int k = 0; k < adapters; ++k) {
      one.ranks.push_back(engine() % 4 == 0 ? static_cast<int>(engine() % 40) : static_cast<int>(engine() % 5) * 8);
    }
    for (std::size_t rows = engine() % 20; one.adapters.size() < rows;) {
      const int adapter = static_cast<int>(engine() % static_cast<unsigned>(adapters + 1)) - 1;
      for (std::size_t run = engine() % 5 + 1; run > 0; --run) one.adapters.push_back(adapter);
    }
    expect_right(one);
  }
}

TEST(LoraGatherTest, NoBitFollowsFromTheBatch) {
  const LoraCase batch{.inputs = 520, .outputs = 70, .ranks = {16, 8, 5}, .adapters = {0, 0, 1, 2, 2, 2, -1, 1, 0, 0}};
  LoraProblem problem(batch);
  ASSERT_EQ(problem.run(Order::random).text(), "clean");
  for (int row = 0; row < static_cast<int>(batch.adapters.size()); ++row) {
    LoraCase alone = batch;
    alone.adapters = {batch.adapters[static_cast<std::size_t>(row)]};
    alone.names = {row};
    LoraProblem other(alone);
    ASSERT_EQ(other.run(Order::forward).text(), "clean");
    EXPECT_TRUE(problem.row_bits(row) == other.row_bits(0)) << row;
  }
}

// A run of rows reads its adapter's A and B once, in whole sectors.
TEST(LoraGatherTest, ReadsEachAdapterOnceARun) {
  for (const int rank : {8, 16, 64, 128}) {
    LoraProblem problem(
        {.inputs = 1024, .outputs = 128, .ranks = {rank, 8}, .adapters = {0, 0, 0, 0, 0, 1}, .gaps = false});
    const CountingLauncher launcher = problem.run(Order::forward, 0);
    ASSERT_EQ(launcher.text(), "clean");
    EXPECT_EQ(launcher.bytes.at("a0")[0].read, static_cast<std::uint64_t>(rank * 1024 * 2));
    EXPECT_EQ(launcher.bytes.at("a1")[0].read, 8u * 1024 * 2);
    EXPECT_EQ(launcher.bytes.at("b0")[1].read, static_cast<std::uint64_t>(rank * 128 * 2));
    EXPECT_EQ(launcher.bytes.at("b1")[1].read, 8u * 128 * 2);
    int seen = 0;
    for (const auto& report : launcher.reports()) {
      for (const auto& row : report.traffic) {
        if (row.size != 16) continue;
        ++seen;
        EXPECT_EQ(row.cost.paid, row.cost.ideal) << rank << "\n" << cuda_on_host::traffic_table(report.traffic);
      }
    }
    EXPECT_GE(seen, 3) << "A, x and B";
  }
}

}  // namespace
}  // namespace powerhouse::testing
