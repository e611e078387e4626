// Shuffles and votes: what each lane gets.
#include "cuda_on_host/expect_launch.h"

namespace powerhouse::cuda_on_host {
namespace {

using WarpTest = LaunchTest;

TEST_F(WarpTest, Shuffles) {
  const auto kernel = [&] {
    const int lane = static_cast<int>(thread() % 32);
    const float own = static_cast<float>(lane);
    float* to = output.data() + thread();
    to[0] = cuda::shuffle(own, (lane * 7 + 3) % 32);
    to[32] = cuda::shuffle_xor(own, 5);
    to[64] = cuda::shuffle_up(own, 3);
    to[96] = cuda::shuffle_down(own, 3);
    to[128] = static_cast<float>(cuda::shuffle(-lane, 31));
    if (lane % 2 == 0) to[160] = cuda::shuffle_xor(own, 2, 0x55555555);
  };
  for (const Order order : kOrders) {
    const LaunchReport report = run({}, kernel, {.order = order});
    ASSERT_FALSE(report.fault) << report.text();
    EXPECT_EQ(report.shuffles, 6);
    for (int lane = 0; lane < 32; ++lane) {
      EXPECT_EQ(output[lane], (lane * 7 + 3) % 32);
      EXPECT_EQ(output[32 + lane], lane ^ 5);
      EXPECT_EQ(output[64 + lane], lane < 3 ? lane : lane - 3);
      EXPECT_EQ(output[96 + lane], lane > 28 ? lane : lane + 3);
      EXPECT_EQ(output[128 + lane], -31);
      if (lane % 2 == 0) {
        EXPECT_EQ(output[160 + lane], lane ^ 2);
      }
    }
  }
}

TEST_F(WarpTest, Votes) {
  unsigned ballots[64] = {};
  GlobalMemory memory;
  memory.add(ballots, sizeof ballots, "ballots", Contents::output);
  const auto kernel = [&] {
    const unsigned bits = cuda::ballot(thread() % 3 == 0);
    const bool any = cuda::any_lane(thread() == 40), all = cuda::all_lanes(thread() >= 32);
    ballots[thread()] = bits ^ (any ? 1u : 0) ^ (all ? 2u : 0);
  };
  const LaunchReport report = launch({1}, {64}, 0, memory, {}, kernel);
  ASSERT_FALSE(report.fault) << report.text();
  EXPECT_EQ(report.votes, 6);
  for (unsigned thread = 0; thread < 64; ++thread) {
    unsigned expected = thread < 32 ? 0 : 3;
    for (unsigned lane = 0; lane < 32; ++lane) expected ^= ((thread / 32 * 32 + lane) % 3 == 0 ? 1u : 0) << lane;
    EXPECT_EQ(ballots[thread], expected) << thread;
  }
}

}  // namespace
}  // namespace powerhouse::cuda_on_host
