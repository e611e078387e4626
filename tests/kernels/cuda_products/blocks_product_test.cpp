// CUDA's products of many rows with weights of blocks, run on the CPU.
#include <gtest/gtest.h>

#include "kernels/cuda/product_plan.h"
#include "kernels/cuda_products/product_case.h"
#include "kernels/cuda_rows/device_blocks.h"

namespace powerhouse::testing {
namespace {

using cuda_on_host::Order;

using cuda_on_host::kOrders;

void expect_right(const BlocksCase& one, std::uint64_t seed) {
  BlocksProblem problem(one, seed);
  std::vector<std::uint16_t> first;
  for (const Order order : kOrders) {
    ASSERT_EQ(problem.run(order), "clean") << one;
    ASSERT_EQ(problem.wrong(), "") << one;
    if (first.empty()) first = problem.result();
    ASSERT_EQ(problem.result(), first) << "a result depends on time: " << one;
  }
}

/// Chunks begin and end within sectors, one block is a whole row, outputs end within a strip and a block of threads,
/// rows within a tile, and few multiprocessors or many decide whether inputs are split.
TEST(CudaBlocksProductTest, Shapes) {
  std::uint64_t seed = 0;
  for (const BlockFormat format : kFormats) {
    const std::int64_t unit = block_info(format).block_elements > 128 ? 1 : 256 / block_info(format).block_elements;
    const BlocksCase cases[] = {
        {.rows = 17, .blocks = 1, .outputs = 1},
        {.rows = 24, .blocks = unit + 1, .outputs = 7, .bias = true},
        {.rows = 64, .blocks = 2 * unit, .outputs = 33},
        {.rows = 33, .blocks = 1, .outputs = 31, .bias = true},
        {.rows = 18, .blocks = 3 * unit, .outputs = 5, .multiprocessors = 2},
        {.rows = 25, .blocks = 5 * unit - unit / 2, .outputs = 3, .multiprocessors = 9, .bias = true},
        {.rows = 70, .blocks = unit, .outputs = 2},
        {.rows = 20, .blocks = unit + unit / 2, .outputs = 130}};
    for (BlocksCase one : cases) {
      one.format = format;
      one.type = ++seed % 2 == 0 ? Element::f16 : Element::bf16;
      expect_right(one, seed);
    }
  }
}

/// Cycles that loads of codes cost more than their bytes: none, but for TQ1_0, whose last 16 of 256 elements are digits
/// of the same four bytes, so that one request in eight meets lanes that read others beside them.
double most_cycles(BlockFormat format) { return format == BlockFormat::tq1_0 ? 1.125 : 1; }

/// Whole tiles: weights come once, each sector once, and nothing else costs more than its bytes.
TEST(CudaBlocksProductTest, Traffic) {
  for (const BlockFormat format : kFormats) {
    const std::int64_t blocks = 4096 / block_info(format).block_elements;
    const BlocksCase one{.format = format, .rows = 64, .blocks = blocks, .outputs = 128, .gaps = false};
    BlocksProblem problem(one, 3);
    ASSERT_EQ(problem.run(Order::random, 0), "clean") << one;
    EXPECT_EQ(traffic_complaint(problem.reports.at(0), most_cycles(format)), "") << one;
    EXPECT_EQ(problem.bytes_read(), 1) << one;
  }
}

/// Rows that begin within sectors share those at their ends.
TEST(CudaBlocksProductTest, BytesOfRowsWithoutAlignment) {
  for (const BlockFormat format : kFormats) {
    const std::int64_t blocks = 3328 / block_info(format).block_elements;
    const BlocksCase one{.format = format, .rows = 17, .blocks = blocks, .outputs = 32, .multiprocessors = 2};
    BlocksProblem problem(one, 3);
    ASSERT_EQ(problem.run(Order::random), "clean") << one;
    EXPECT_EQ(problem.wrong(), "") << one;
    EXPECT_LE(problem.bytes_read(), 1.05) << one;
  }
}

TEST(CudaBlocksProductTest, RefusesWhatNoKernelIsFor) {
  cuda_on_host::GlobalMemory memory;
  const HostLauncher launcher(memory, Order::forward, 1);
  EXPECT_FALSE(blocks_product_on_host({.type = Element::f32, .rows = 9}, launcher));
  EXPECT_FALSE(blocks_product_on_host({.format = BlockFormat::bf16, .rows = 9}, launcher));
  EXPECT_FALSE(blocks_product_on_host({.rows = 65536}, launcher));
  EXPECT_TRUE(launcher.reports.empty());
}

TEST(ProductPlanTest, SplitsUntilThereIsWork) {
  const auto plan = [](std::int64_t rows, std::int64_t outputs, std::int64_t inputs, int multiprocessors) {
    return cuda::plan_of(cuda::QuantizedProductParams{
        .rows = rows, .inputs = inputs, .outputs = outputs, .multiprocessors = multiprocessors});
  };
  EXPECT_EQ(plan(16, 4096, 4096, 32).splits, 1);
  EXPECT_EQ(plan(16, 4096, 4096, 108).splits, 3);
  EXPECT_EQ(plan(16, 576, 1536, 108).splits, 6);  // parts of 256 inputs at least
  EXPECT_EQ(plan(200, 4096, 4096, 108).splits, 1);
  EXPECT_EQ(plan(200, 4096, 4096, 108).row_blocks, 4);
  for (std::int64_t outputs = 1; outputs < 9000; outputs += 317) {
    for (std::int64_t inputs = 32; inputs < 9000; inputs += 32 * 11) {
      for (const int multiprocessors : {1, 24, 108, 132}) {
        const cuda::ProductPlan cut = plan(9, outputs, inputs, multiprocessors);
        EXPECT_EQ(cut.part % 128, 0);
        EXPECT_GE(cut.splits * cut.part, inputs);
        EXPECT_LT((cut.splits - 1) * cut.part, inputs) << "an empty split";
        EXPECT_LE((cut.splits - 1) * cut.output_blocks, multiprocessors);
      }
    }
  }
}

/// Sums of splits alone go through the workspace, and products of numbers as they are have none.
TEST(ProductPlanTest, WorkspaceOfSplits) {
  const auto floats = [](Element type, std::int64_t rows) {
    return cuda::workspace_floats(cuda::QuantizedProductParams{
        .type = type, .rows = rows, .inputs = 4096, .outputs = 512, .multiprocessors = 108});
  };
  EXPECT_EQ(floats(Element::f32, 8), 0);
  EXPECT_EQ(floats(Element::bf16, 16), 0);
  EXPECT_EQ(floats(Element::bf16, 17), 16 * 17 * 512);
}

TEST(ProductPlanTest, DenseProductsAboveSomeRows) {
  EXPECT_EQ(cuda::most_product_rows(BlockFormat::q4_k), 64);  // a second block of rows would decode it again
  EXPECT_EQ(cuda::most_product_rows(cuda::RepackedWeight{.group = 128, .bits = 8}), 64);
}

}  // namespace
}  // namespace powerhouse::testing
