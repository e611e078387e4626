// Products of few rows, and RoPE on the way into the cache, under the shim.
#include <gtest/gtest.h>

#include <random>

#include "kernels/cuda_paged/few_rows_case.h"
#include "kernels/cuda_rows/device_buffers.h"

namespace powerhouse::testing {
namespace {

using cuda_on_host::GlobalMemory;
using cuda_on_host::Order;

void expect_right(const FewRowsCase& one) {
  FewRowsProblem problem(one);
  for (const Order order : kSchedules) {
    const auto launcher = problem.run(order);
    ASSERT_TRUE(launcher) << one;
    ASSERT_EQ(launcher->text(), "clean") << one;
    ASSERT_EQ(problem.wrong(), "") << one;
  }
}

TEST(FewRowsTest, IsRightWhereShapesGoWrongFirst) {
  for (const FewRowsCase& one : few_rows_edge_cases()) expect_right(one);
}

TEST(FewRowsTest, IsRightWhereShapesGoWrongFirstWithBlocks) {
  for (const FewRowsCase& one : few_block_rows_edge_cases()) expect_right(one);
}

TEST(FewRowsTest, IsRightForManyShapes) {
  std::mt19937 engine(5);
  for (int i = 0; i < 400; ++i) {
    FewRowsCase one;
    if (i >= 200) one.format = kFewRowsFormats[static_cast<std::size_t>(i) % std::size(kFewRowsFormats)];
    one.type = engine() % 3 == 0 ? Element::f16 : Element::bf16;
    one.rows = static_cast<int>(engine() % 16 + 1);
    // A step of each warp or less; every fourth two or three.
    one.inputs = static_cast<int>(engine() % (i % 4 == 0 ? 160 : 64) + 1) * 8;
    if (one.format) one.inputs = one.inputs / 200 * 256 + static_cast<int>(block_info(*one.format).block_elements);
    one.bias = engine() % 2 == 0;
    one.normed = engine() % 2 == 0;
    one.norm_weight = engine() % 4 != 0;
    one.unit_offset = engine() % 4 == 0;
    one.round_once = engine() % 4 == 0;
    one.gated = one.normed && engine() % 2 == 0;
    one.multiprocessors = static_cast<int>(engine() % 3 + 1);
    const int outputs = static_cast<int>(engine() % (i % 4 == 0 ? 60 : 30) + 1);
    one.outputs.assign(one.gated ? 2 : engine() % 3 + 1, outputs);
    if (!one.gated && one.outputs.size() > 1) one.outputs[1] += 13;
    one.residual = one.outputs.size() == 1 && engine() % 2 == 0;
    one.to_float = !one.gated && !one.residual && engine() % 4 == 0;
    expect_right(one);
  }
}

TEST(FewRowsTest, NoBitFollowsFromOtherRowsOrTheDevice) {
  for (const int turn : {0, 1, 2, 3}) {
    FewRowsCase all{.rows = 13, .inputs = 712, .outputs = {40, 40}, .normed = true, .gated = turn % 2 != 0};
    if (turn >= 2) all.format = BlockFormat::q4_0, all.inputs = 2336;
    FewRowsProblem problem(all);
    ASSERT_TRUE(problem.run(Order::random));
    for (const int row : {0, 6, 8, 12}) {
      FewRowsCase alone = all;
      alone.rows = 1, alone.first_row = row, alone.multiprocessors = 1;
      FewRowsProblem other(alone);
      ASSERT_TRUE(other.run(Order::forward));
      EXPECT_TRUE(problem.row_bits(row) == other.row_bits(0)) << row;
    }
  }
}

TEST(FewRowsTest, RefusesWhatHasNoKernel) {
  EXPECT_FALSE(FewRowsProblem({.rows = 17}).run(Order::forward));
  EXPECT_FALSE(FewRowsProblem({.type = Element::f32}).run(Order::forward));
  EXPECT_FALSE(FewRowsProblem({.outputs = {16, 16}, .gated = true}).run(Order::forward));
  EXPECT_FALSE(FewRowsProblem({.rows = 16, .inputs = 16384, .normed = true}).run(Order::forward));
  const FewRowsCase refused[] = {{.rows = 17}, {.type = Element::f32}, {.rows = 8, .inputs = 16384, .normed = true}};
  for (FewRowsCase one : refused) {
    one.format = BlockFormat::q4_0;
    EXPECT_FALSE(FewRowsProblem(one).run(Order::forward)) << one;
  }
}

TEST(RopeWriteTest, GivesTheBitsOfRopeAndOfWriting) {
  const std::vector<int> rows{1, 3, 1, 0}, lengths{21, 3, 16, 4};
  for (const Element type : kElements) {
    const BlockFormat cache = type == Element::f32    ? BlockFormat::f32
                              : type == Element::bf16 ? BlockFormat::bf16
                                                      : BlockFormat::f16;
    for (const bool interleaved : {false, true}) {
      for (const auto& [dim, rotary] : {std::pair{64, 64}, {64, 32}, {80, 40}, {128, 128}, {8, 2}}) {
        const TurnedCase one{
            .cache = {.cache = cache, .kv_heads = 2, .head_dim = dim, .rows = rows, .lengths = lengths},
            .type = type,
            .heads = 6,
            .rotary_dim = rotary,
            .interleaved = interleaved};
        for (const Order order : kSchedules) {
          ASSERT_EQ(wrong_turn(one, order), "") << dim << ' ' << rotary << ' ' << interleaved;
        }
      }
    }
  }
}

TEST(RopeWriteTest, IsRightForManyShapes) {
  std::mt19937 engine(7);
  for (int i = 0; i < 180; ++i) {
    TurnedCase one;
    one.type = kElements[i % 3];
    one.cache.cache = one.type == Element::f32    ? BlockFormat::f32
                      : one.type == Element::bf16 ? BlockFormat::bf16
                                                  : BlockFormat::f16;
    one.cache.head_dim = static_cast<int>(engine() % 12 + 1) * 8;
    one.cache.kv_heads = static_cast<int>(engine() % 3 + 1);
    one.cache.page_tokens = static_cast<int>(engine() % 2 == 0 ? 16 : engine() % 9 + 1);
    one.heads = one.cache.kv_heads * static_cast<int>(engine() % 4 + 1);
    const int unit = engine() % 2 == 0 || one.cache.head_dim < 16 ? 2 : 16;  // of the latter whole vectors turn
    one.rotary_dim = unit * static_cast<int>(engine() % static_cast<unsigned>(one.cache.head_dim / unit) + 1);
    one.interleaved = engine() % 2 == 0;
    const std::size_t sequences = engine() % 3 + 1;
    one.cache.rows.clear(), one.cache.lengths.clear();
    for (std::size_t s = 0; s < sequences; ++s) {
      one.cache.rows.push_back(static_cast<int>(engine() % 4));
      one.cache.lengths.push_back(static_cast<int>(engine() % 24));  // rows before the first position, too
    }
    for (const Order order : kSchedules) {
      ASSERT_EQ(wrong_turn(one, order), "") << "head_dim " << one.cache.head_dim << " rotary " << one.rotary_dim
                                            << " heads " << one.heads << (one.interleaved ? " interleaved" : "");
    }
  }
}

TEST(RopeWriteTest, RefusesACacheOfAnotherType) {
  GlobalMemory memory;
  const CountingLauncher launcher(memory, Order::forward, 1, {});
  for (const BlockFormat type : {BlockFormat::f32, BlockFormat::q8_0}) {
    const cuda::PagedCache cache{.type = type, .sequences = 1, .head_dim = 64};
    EXPECT_FALSE(rope_write_on_host({.queries = {.type = Element::bf16}, .write = {.cache = cache}}, launcher));
  }
}

}  // namespace
}  // namespace powerhouse::testing
