// Orders of threads: as told, repeatable, and different from each other.
#include <algorithm>
#include <set>

#include "cuda_on_host/expect_launch.h"

namespace powerhouse::cuda_on_host {
namespace {

class ScheduleTest : public LaunchTest {
 protected:
  /// Threads in the order that they came.
  std::vector<unsigned> order_of(const LaunchOptions& options) {
    std::uint32_t turn = 0, came[96] = {};
    GlobalMemory memory;
    memory.add(&turn, 4, "turn", Contents::in_out);
    memory.add(came, sizeof came, "came", Contents::output);
    const LaunchReport report =
        launch({1}, {96}, 0, memory, options, [&] { came[cuda::add_atomic(&turn, 1u)] = threadIdx.x; });
    EXPECT_FALSE(report.fault) << report.text();
    return {came, came + 96};
  }
};

TEST_F(ScheduleTest, ForwardAndBackward) {
  const std::vector<unsigned> forward = order_of({.order = Order::forward});
  std::vector<unsigned> backward = order_of({.order = Order::backward});
  EXPECT_TRUE(std::is_sorted(forward.begin(), forward.end()));
  std::reverse(backward.begin(), backward.end());
  EXPECT_EQ(backward, forward);
}

TEST_F(ScheduleTest, ASeedRepeatsItsOrder) {
  std::set<std::vector<unsigned>> orders;
  for (std::uint64_t seed = 1; seed <= 8; ++seed) {
    const std::vector<unsigned> order = order_of({.seed = seed});
    EXPECT_EQ(order, order_of({.seed = seed}));
    EXPECT_EQ(std::set<unsigned>(order.begin(), order.end()).size(), 96u);
    orders.insert(order);
  }
  EXPECT_EQ(orders.size(), 8u);
}

TEST_F(ScheduleTest, GridAndBlockOfThreeDimensions) {
  std::uint32_t seen[2 * 3 * 2 * 4 * 2 * 3] = {};
  GlobalMemory memory;
  memory.add(seen, sizeof seen, "seen", Contents::output);
  const LaunchReport report = launch({2, 3, 2}, {4, 2, 3}, 0, memory, {}, [&] {
    const unsigned block = (blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
    const unsigned thread = (threadIdx.z * blockDim.y + threadIdx.y) * blockDim.x + threadIdx.x;
    seen[block * 24 + thread] = 1;
  });
  EXPECT_FALSE(report.fault) << report.text();
  EXPECT_EQ(memory.named("seen").shadow.unwritten(), 0u);
}

TEST_F(ScheduleTest, WhatNoDeviceCouldLaunch) {
  GlobalMemory memory;
  EXPECT_THROW(launch({1}, {1025}, 0, memory, {}, [] {}), std::invalid_argument);
  EXPECT_THROW(launch({1}, {32}, 300 << 10, memory, {}, [] {}), std::invalid_argument);
}

}  // namespace
}  // namespace powerhouse::cuda_on_host
