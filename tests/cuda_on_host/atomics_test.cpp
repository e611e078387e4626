// Atomic operations: results, and what they may race with.
#include <algorithm>
#include <vector>

#include "cuda_on_host/expect_launch.h"

namespace powerhouse::cuda_on_host {
namespace {

using AtomicsTest = LaunchTest;

TEST_F(AtomicsTest, Results) {
  float sum = 0.5f;
  std::int32_t count = -5, most = 7;
  std::uint32_t number = 1, swapped = 9, locked = 0, turns[64] = {};
  bfloat16 pair[2] = {rounded<bfloat16>(1.0f), rounded<bfloat16>(-2.0f)};
  GlobalMemory memory;
  memory.add(&sum, 4, "sum", Contents::in_out);
  memory.add(&count, 4, "count", Contents::in_out);
  memory.add(&most, 4, "most", Contents::in_out);
  memory.add(&number, 4, "number", Contents::in_out);
  memory.add(&swapped, 4, "swapped", Contents::in_out);
  memory.add(&locked, 4, "locked", Contents::in_out);
  memory.add(turns, sizeof turns, "turns", Contents::output);
  memory.add(pair, 4, "pair", Contents::in_out);
  const auto kernel = [&] {
    const unsigned me = blockIdx.x * 32 + threadIdx.x;
    cuda::add_atomic(&sum, 0.25f);
    cuda::add_atomic(&count, -1);
    cuda::max_atomic(&most, static_cast<std::int32_t>(me));
    turns[me] = cuda::add_atomic(&number, 1u);
    cuda::exchange_atomic(&swapped, me);
    cuda::compare_exchange_atomic(&locked, 0u, me + 100);
    cuda::add_pair_atomic(pair, cuda::pack(0.5f, 1.0f, bfloat16{}));
  };
  const LaunchReport report = launch({2}, {32}, 0, memory, {}, kernel);
  ASSERT_FALSE(report.fault) << report.text();
  EXPECT_EQ(report.atomics, 64 * 7);
  EXPECT_EQ(sum, 16.5f);
  EXPECT_EQ(count, -69);
  EXPECT_EQ(most, 63);
  EXPECT_LT(swapped, 64u);
  EXPECT_TRUE(locked >= 100 && locked < 132) << locked;  // some thread of the first block
  EXPECT_EQ(to_float(pair[0]), 33.0f);
  EXPECT_EQ(to_float(pair[1]), 62.0f);
  std::sort(turns, turns + 64);
  for (unsigned i = 0; i < 64; ++i) EXPECT_EQ(turns[i], i + 1);  // each was there once
}

TEST_F(AtomicsTest, SharedMemory) {
  const auto kernel = [&] {
    if (thread() == 0) shared()[0] = 0;
    cuda::sync_block();
    cuda::add_atomic(shared(), 1.0f);
    cuda::sync_block();
    output[thread()] = shared()[0];
  };
  expect_clean({.threads = 64}, kernel);
  for (int i = 0; i < 64; ++i) EXPECT_EQ(output[i], 64.0f);
}

TEST_F(AtomicsTest, RaceWithPlainAccesses) {
  expect_fault({FaultKind::write_read_race, FaultKind::read_write_race}, "at in_out+0", {}, [&] {
    cuda::add_atomic(in_out.data(), 1.0f);
    if (thread() == 5) output[0] = in_out[0];
  });
  expect_fault({FaultKind::write_write_race}, "at in_out+0", {.blocks = 2}, [&] {
    if (blockIdx.x == 0) cuda::add_atomic(in_out.data(), 1.0f);
    if (blockIdx.x == 1 && thread() == 0) in_out[0] = 1;
  });
}

TEST_F(AtomicsTest, NeedAValueAndAPlace) {
  expect_fault({FaultKind::uninitialized}, "at output+0", {}, [&] { cuda::add_atomic(output.data(), 1.0f); });
  expect_fault({FaultKind::bounds}, "at in_out+1024", {}, [&] { cuda::add_atomic(in_out.data() + 256, 1.0f); });
  expect_fault({FaultKind::read_only}, "at input+0", {}, [&] { cuda::add_atomic(input.data(), 1.0f); });
}

}  // namespace
}  // namespace powerhouse::cuda_on_host
