// Paged attention under the shim: float64, every order of threads, traffic, and bits that no batch changes.
#include <gtest/gtest.h>

#include <random>

#include "kernels/cuda/paged_attention/plan.h"
#include "kernels/cuda_paged/paged_case.h"
#include "kernels/cuda_rows/device_buffers.h"

namespace powerhouse::testing {
namespace {

using cuda_on_host::Order;

void expect_right(const PagedCase& one) {
  PagedProblem problem(one);
  for (const Order order : kSchedules) {
    const CountingLauncher launcher = problem.run(order);
    ASSERT_EQ(launcher.text(), "clean") << one;
    ASSERT_FALSE(launcher.reports().empty()) << one;
    ASSERT_EQ(problem.wrong(), "") << one;
  }
}

TEST(PagedAttentionTest, IsRightWhereShapesGoWrongFirst) {
  for (const PagedCase& one : paged_edge_cases()) expect_right(one);
}

int pick(std::mt19937& engine, std::initializer_list<int> from) { return *(from.begin() + engine() % from.size()); }

PagedCase random_case(std::mt19937& engine) {
  constexpr BlockFormat kTypes[] = {BlockFormat::f32, BlockFormat::bf16, BlockFormat::f16, BlockFormat::q8_0,
                                    BlockFormat::q4_0};
  PagedCase one;
  one.type = static_cast<Element>(engine() % 3);
  one.cache.cache = kTypes[engine() % 5];
  const BlockFormat own = one.type == Element::bf16 ? BlockFormat::bf16 : BlockFormat::f16;
  const bool blocks = one.cache.cache == BlockFormat::q8_0 || one.cache.cache == BlockFormat::q4_0;
  if (one.type != Element::f32 && !blocks) one.cache.cache = own;
  one.cache.head_dim = pick(engine, {32, 64, 64, 96, 128, 128, 160, 256});
  if (!blocks && engine() % 4 == 0) one.cache.head_dim -= 8;
  one.cache.kv_heads = pick(engine, {1, 1, 2, 3});
  one.heads = one.cache.kv_heads * pick(engine, {1, 2, 3, 4, 5, 6, 7, 8});
  one.cache.page_tokens = pick(engine, {16, 16, 16, 8, 1, 5, 32, 300});
  const int sequences = pick(engine, {1, 1, 2, 3});
  one.cache.rows.clear();
  one.cache.lengths.clear();
  for (int s = 0; s < sequences; ++s) {
    one.cache.rows.push_back(pick(engine, {1, 1, 1, 2, 3, 8}));
    const int most = engine() % 8 == 0 ? 600 : engine() % 3 == 0 ? 270 : 80;
    one.cache.lengths.push_back(static_cast<int>(engine() % static_cast<unsigned>(most)));
  }
  one.row_starts = engine() % 4 != 0;
  if (!one.row_starts) one.cache.rows.assign(one.cache.rows.size(), one.cache.rows[0]);
  if (engine() % 3 == 0) one.window = pick(engine, {1, 3, 15, 16, 40, 255, 257, 1000});
  if (engine() % 5 == 0) one.softcap = 10;
  one.alibi = engine() % 4 == 0;
  one.alibi_in_bf16 = engine() % 2 == 0;
  one.sinks = engine() % 4 == 0;
  one.multiprocessors = pick(engine, {1, 1, 108});
  if (engine() % 3 == 0) one.cache.shared_pages = 2;
  return one;
}

class PagedAttentionShapes : public ::testing::TestWithParam<int> {};

TEST_P(PagedAttentionShapes, AreRight) {
  std::mt19937 engine(static_cast<unsigned>(GetParam()));
  for (int i = 0; i < 28; ++i) expect_right(random_case(engine));
}

INSTANTIATE_TEST_SUITE_P(, PagedAttentionShapes, ::testing::Range(0, 8));

// A row's own length, sequences beside it, rows of its sequence and blocks that share it: nothing changes its bits.
TEST(PagedAttentionTest, NoBitFollowsFromTheBatch) {
  struct Types {
    Element type;
    BlockFormat cache;
  };
  for (const auto& [type, cache] : {Types{Element::bf16, BlockFormat::bf16}, Types{Element::bf16, BlockFormat::q8_0},
                                    Types{Element::f16, BlockFormat::q4_0}, Types{Element::f32, BlockFormat::q8_0}}) {
    for (const int window : {0, 40, 290}) {
      const PagedCase batch{.cache = {.cache = cache, .kv_heads = 2, .rows = {8, 1, 5}, .lengths = {530, 260, 261}},
                            .type = type,
                            .heads = 10,
                            .window = window,
                            .multiprocessors = 1};
      PagedProblem problem(batch);
      ASSERT_EQ(problem.run(Order::random).text(), "clean");
      for (int s = 0; s < 3; ++s) {
        for (int row = 0; row < batch.cache.rows[static_cast<std::size_t>(s)]; row += 2) {
          PagedCase alone = batch;
          alone.multiprocessors = 200;
          alone.cache.rows = {1};
          alone.cache.lengths = {batch.cache.position(s, row) + 1};
          alone.cache.names = {static_cast<std::uint64_t>(s)};
          PagedProblem other(alone);
          ASSERT_EQ(other.run(Order::forward).text(), "clean");
          EXPECT_TRUE(problem.row_bits(s, row) == other.row_bits(0, 0))
              << batch << ", sequence " << s << " row " << row;
        }
      }
    }
  }
}

// Keys and values once, whatever shares them: sums of parts are all that comes on top.
TEST(PagedAttentionTest, ReadsTheCacheOnce) {
  for (const BlockFormat cache : {BlockFormat::bf16, BlockFormat::q8_0, BlockFormat::q4_0}) {
    for (const int head_dim : {64, 128, 256}) {
      const PagedCase one{
          .cache = {.cache = cache, .kv_heads = 2, .head_dim = head_dim, .rows = {1, 4, 1}, .lengths = {300, 150, 17}},
          .heads = 16,
          .window = head_dim == 64 ? 100 : 0};
      PagedProblem problem(one);
      const CountingLauncher launcher = problem.run(Order::forward);
      ASSERT_EQ(launcher.text(), "clean");
      EXPECT_EQ(launcher.bytes.at("keys")[0].read, problem.least_bytes()) << one;
      EXPECT_EQ(launcher.bytes.at("values")[0].read, problem.least_bytes()) << one;
    }
  }
}

TEST(PagedAttentionTest, WideAccessesAreIdeal) {
  for (const Element type : {Element::bf16, Element::f32}) {
    for (const BlockFormat cache : {type == Element::f32 ? BlockFormat::f32 : BlockFormat::bf16, BlockFormat::q8_0}) {
      for (const int head_dim : {64, 128, 256}) {
        const PagedCase one{.cache = {.cache = cache, .head_dim = head_dim, .rows = {2}, .lengths = {520}},
                            .type = type,
                            .heads = 8,
                            .multiprocessors = 1,
                            .gaps = false};
        PagedProblem problem(one);
        int seen = 0;
        const CountingLauncher launcher = problem.run(Order::forward, 0);
        for (const auto& report : launcher.reports()) {
          for (const auto& row : report.traffic) {
            if (row.size != 16) continue;
            ++seen;
            EXPECT_EQ(row.cost.paid, row.cost.ideal) << one << "\n" << cuda_on_host::traffic_table(report.traffic);
          }
        }
        EXPECT_GT(seen, 0);
      }
    }
  }
}

cuda::PagedPlan plan(int rows, int length, int sequences, int multiprocessors, int window = 0) {
  const cuda::PagedAttentionParams p{
      .cache = {.sequences = sequences, .rows = rows, .most_length = length, .kv_heads = 8, .head_dim = 128},
      .heads = 32,
      .window = window,
      .multiprocessors = multiprocessors};
  return cuda::plan_paged_attention(p, 4);
}

TEST(PagedPlanTest, SplitsLongSequencesUntilEveryMultiprocessorHasSixteenBlocks) {
  EXPECT_EQ(plan(1, 100, 1, 108).blocks, 1);
  EXPECT_EQ(plan(1, 4096, 1, 108).blocks, 16);  // 128 blocks of one part
  EXPECT_EQ(plan(1, 4096, 64, 108).run, 4);     // 8,192 parts for 1,728 blocks
  EXPECT_EQ(plan(1, 4096, 64, 108).blocks, 4);
  EXPECT_EQ(plan(1, 32768, 1, 108).blocks, 128);  // 1,024 parts: nearly what is wanted
  EXPECT_EQ(plan(1, 131072, 1, 108).run, 2);
  EXPECT_EQ(plan(1, 131072, 1, 108, 1024).blocks, 5);  // a window's parts alone
  EXPECT_EQ(plan(1, 0, 3, 108).blocks, 1);             // for the zeros
}

TEST(PagedPlanTest, GivesABlockAllVectorsThatFit) {
  EXPECT_EQ(plan(1, 100, 1, 108).vector_tiles, 1);  // 4 heads of a group
  EXPECT_EQ(plan(2, 100, 1, 108).columns, 1);
  EXPECT_EQ(plan(3, 100, 1, 108).columns, 2);  // a warp with 16 vectors
  EXPECT_EQ(plan(5, 100, 1, 108).vector_tiles, 2);
  EXPECT_EQ(plan(16, 100, 1, 108).vector_tiles, 4);
  EXPECT_EQ(plan(16, 100, 1, 108).vector_blocks, 1);
  EXPECT_EQ(plan(17, 100, 1, 108).vector_blocks, 2);
}

}  // namespace
}  // namespace powerhouse::testing
