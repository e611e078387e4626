// Tile copies, barriers in shared memory and products of a warpgroup: against plain loops, and what goes wrong with
// them.
#include <cstdint>

#include "cuda_on_host/expect_launch.h"
#include "kernels/cuda/primitives_hopper.cuh"

namespace powerhouse::cuda_on_host {
namespace {

using cuda::SharedBarrier;

/// A tensor [2, 3, 80 rows, 72], of which tiles of 64 x 64 are copied, and products of them.
class WarpgroupTest : public ::testing::Test {
 protected:
  static constexpr int kRows = 80, kColumns = 72, kTile = 64, kBytes = kTile * 128;

  WarpgroupTest() {
    for (std::size_t i = 0; i < input.size(); ++i) {
      from_float(static_cast<float>((i * 37 + i / 91 * 11) % 17) - 8.0f, input[i]);
    }
    const cuda::TensorTiles tiles{.data = input.data(),
                                  .sizes = {kColumns, kRows, 3, 2},
                                  .strides = {kColumns, kColumns * kRows, kColumns * kRows * 3},
                                  .tile = {kTile, kTile}};
    cuda::encode_tensor_map(tiles, map);
  }

  static float value(int column, int row, int head, int outer) {
    if (column >= kColumns || row >= kRows || head >= 3 || outer >= 2) return 0;
    return to_float(input[static_cast<std::size_t>(((outer * 3 + head) * kRows + row) * kColumns + column)]);
  }

  LaunchReport run(const Kernel& kernel, Order order = Order::random) {
    GlobalMemory memory;
    memory.add(input.data(), input.bytes(), "input", Contents::input);
    memory.add(output.data(), output.bytes(), "output", Contents::output);
    return launch({1}, {160}, 2 * kBytes + 64, memory, {.order = order}, kernel);
  }
  void expect_fault(std::initializer_list<FaultKind> kinds, const Kernel& kernel) {
    for (const Order order : kOrders) {
      const LaunchReport report = run(kernel, order);
      ASSERT_TRUE(report.fault) << "order " << static_cast<int>(order);
      EXPECT_TRUE(std::find(kinds.begin(), kinds.end(), report.fault->kind) != kinds.end()) << report.text();
    }
  }

  static unsigned char* tile(int index) { return cuda::shared_memory() + index * kBytes; }
  static SharedBarrier* barrier(int index) { return reinterpret_cast<SharedBarrier*>(tile(2)) + index; }
  static int thread() { return static_cast<int>(threadIdx.x); }
  static void begin(int readers = 4) {
    if (thread() == 0) {
      cuda::barrier_init(barrier(0), 1);
      cuda::barrier_init(barrier(1), readers);
      cuda::barrier_init_fence();
    }
    cuda::sync_block();
  }
  void copy(int index, int column, int row, int head, int outer) const {
    cuda::copy_tile(tile(index), map, barrier(0), column, row, head, outer);
  }
  static void store(const float (&d)[8][4]) {
    const int lane = thread() % 32, first = thread() / 32 * 16;
    for (int n = 0; n < 8; ++n) {
      for (int e = 0; e < 4; ++e) {
        output[static_cast<std::size_t>((first + lane / 4 + e / 2 * 8) * kTile + n * 8 + lane % 4 * 2 + e % 2)] =
            d[n][e];
      }
    }
  }

  inline static DeviceArray<bfloat16> input{2 * 3 * kRows * kColumns};
  inline static DeviceArray<float> output{kTile * kTile};
  cuda::TensorMap map{};
};

/// Warp 4 copies; both tiles end outside of the tensor.
TEST_F(WarpgroupTest, MultipliesByRowsOfTiles) {
  const auto kernel = [&] {
    begin();
    if (thread() == 128) {
      cuda::barrier_arrive_expecting(barrier(0), 2 * kBytes);
      copy(0, 0, 40, 1, 1), copy(1, 64, 8, 2, 0);
    }
    if (thread() >= 128) return;
    cuda::barrier_wait(barrier(0), 0);
    float d[8][4] = {};
    const std::uint64_t a = cuda::operand(tile(0), 0), b = cuda::operand(tile(1), 0);
    for (int step = 0; step < 4; ++step) {
      cuda::multiply_warpgroup(d, cuda::advance(a, step * 32), cuda::advance(b, step * 32), step > 0, bfloat16{});
    }
    cuda::warpgroup_commit();
    cuda::warpgroup_wait<0>();
    store(d);
  };
  for (const Order order : kOrders) {
    const LaunchReport report = run(kernel, order);
    ASSERT_FALSE(report.fault) << report.text();
    for (int m = 0; m < kTile; ++m) {
      for (int n = 0; n < kTile; ++n) {
        float sum = 0;
        for (int k = 0; k < kTile; ++k) sum += value(k, 40 + m, 1, 1) * value(64 + k, 8 + n, 2, 0);
        ASSERT_EQ(output[static_cast<std::size_t>(m * kTile + n)], sum) << m << ' ' << n;
      }
    }
  }
}

/// d += a b with a in registers, as fragments that the table of mma gives (fragment_test.cpp), and b's rows added over.
TEST_F(WarpgroupTest, MultipliesByColumnsOfTiles) {
  const auto kernel = [&] {
    begin();
    if (thread() == 128) {
      cuda::barrier_arrive_expecting(barrier(0), kBytes);
      copy(1, 0, 0, 0, 1);
    }
    if (thread() >= 128) return;
    std::uint32_t a[4];
    const int lane = thread() % 32, first = thread() / 32 * 16;
    for (int part = 0; part < 4; ++part) {
      const auto row = static_cast<float>(first + lane / 4 + part % 2 * 8);
      const int column = lane % 4 * 2 + part / 2 * 8;
      a[part] = cuda::pack(row - static_cast<float>(column), row - static_cast<float>(column + 1), bfloat16{});
    }
    cuda::barrier_wait(barrier(0), 0);
    float d[8][4];
    for (auto& four : d) four[0] = four[1] = four[2] = four[3] = 1000.0f;
    cuda::multiply_warpgroup(d, a, cuda::advance(cuda::operand(tile(1), kBytes), 16 * 128), true, bfloat16{});
    cuda::warpgroup_commit();
    cuda::warpgroup_wait<0>();
    store(d);
  };
  const LaunchReport report = run(kernel);
  ASSERT_FALSE(report.fault) << report.text();
  for (int m = 0; m < kTile; ++m) {
    for (int n = 0; n < kTile; ++n) {
      float sum = 1000;
      for (int k = 0; k < 16; ++k) sum += static_cast<float>(m - k) * value(n, 16 + k, 0, 1);
      ASSERT_EQ(output[static_cast<std::size_t>(m * kTile + n)], sum) << m << ' ' << n;
    }
  }
}

TEST_F(WarpgroupTest, SumsAreNotANumberBeforeTheWait) {
  const auto kernel = [&] {
    begin();
    if (thread() == 0) {
      cuda::barrier_arrive_expecting(barrier(0), kBytes);
      copy(0, 0, 0, 0, 0);
    }
    cuda::barrier_wait(barrier(0), 0);
    if (thread() >= 128) return;
    float d[8][4] = {};
    const std::uint64_t a = cuda::operand(tile(0), 0);
    cuda::multiply_warpgroup(d, a, a, false, bfloat16{});
    cuda::warpgroup_commit();
    if (thread() == 0) output[0] = d[0][0];
    cuda::warpgroup_wait<0>();
    if (thread() == 0) output[1] = d[0][0];
  };
  const LaunchReport report = run(kernel);
  ASSERT_FALSE(report.fault) << report.text();
  EXPECT_NE(output[0], output[0]);
  EXPECT_EQ(output[1], output[1]);
}

TEST_F(WarpgroupTest, ReadsATileBeforeItsBarrier) {
  expect_fault({FaultKind::copy_in_flight}, [&] {
    begin();
    if (thread() == 0) {
      cuda::barrier_arrive_expecting(barrier(0), kBytes);
      copy(0, 0, 0, 0, 0);
    }
    cuda::sync_block();
    if (thread() >= 128) return;
    float d[8][4] = {};
    const std::uint64_t a = cuda::operand(tile(0), 0);
    cuda::multiply_warpgroup(d, a, a, false, bfloat16{});
    cuda::warpgroup_commit();
    cuda::warpgroup_wait<0>();
    cuda::barrier_wait(barrier(0), 0);
  });
}

/// A stage is given back before the products that read it have ended.
TEST_F(WarpgroupTest, OverwritesWhatAProductStillReads) {
  expect_fault({FaultKind::copy_in_flight, FaultKind::read_write_race}, [&] {
    begin();
    if (thread() >= 128) {
      for (int turn = 0; thread() == 128 && turn < 2; ++turn) {
        if (turn > 0) cuda::barrier_wait(barrier(1), 0);
        cuda::barrier_arrive_expecting(barrier(0), kBytes);
        copy(0, 0, 0, turn, 0);
      }
      return;
    }
    cuda::barrier_wait(barrier(0), 0);
    float d[8][4] = {};
    const std::uint64_t a = cuda::operand(tile(0), 0);
    cuda::multiply_warpgroup(d, a, a, false, bfloat16{});
    cuda::warpgroup_commit();
    if (thread() % 32 == 0) cuda::barrier_arrive(barrier(1));
    cuda::warpgroup_wait<0>();
    cuda::barrier_wait(barrier(0), 1);
    store(d);
  });
}

/// Threads wait for each other, but their stores and the product go different ways to shared memory.
TEST_F(WarpgroupTest, MultipliesWhatWasStoredWithoutAFence) {
  for (const bool fences : {false, true}) {
    const auto kernel = [&] {
      begin();
      for (int i = thread(); i < kBytes / 4; i += 160) reinterpret_cast<std::uint32_t*>(tile(0))[i] = 0;
      if (fences) cuda::fence_async();
      cuda::sync_block();
      if (thread() >= 128) return;
      float d[8][4] = {};
      const std::uint64_t a = cuda::operand(tile(0), 0);
      cuda::multiply_warpgroup(d, a, a, false, bfloat16{});
      cuda::warpgroup_commit();
      cuda::warpgroup_wait<0>();
      store(d);
    };
    if (fences) {
      const LaunchReport report = run(kernel);
      EXPECT_FALSE(report.fault) << report.text();
    } else {
      expect_fault({FaultKind::unfenced}, kernel);
    }
  }
}

TEST_F(WarpgroupTest, WarpsOfAWarpgroupIssueDifferentProducts) {
  expect_fault({FaultKind::divergence}, [&] {
    begin();
    if (thread() == 0) {
      cuda::barrier_arrive_expecting(barrier(0), kBytes);
      copy(0, 0, 0, 0, 0);
    }
    cuda::barrier_wait(barrier(0), 0);
    if (thread() >= 128) return;
    float d[8][4] = {};
    const std::uint64_t a = cuda::operand(tile(0), 0);
    cuda::multiply_warpgroup(d, a, cuda::advance(a, thread() / 96 * 32), false, bfloat16{});
    cuda::warpgroup_commit();
    cuda::warpgroup_wait<0>();
  });
}

TEST_F(WarpgroupTest, BytesThatNobodyAnnounced) {
  expect_fault({FaultKind::deadlock}, [&] {
    begin();
    if (thread() == 0) {
      cuda::barrier_arrive_expecting(barrier(0), kBytes / 2);
      copy(0, 0, 0, 0, 0);
    }
    cuda::barrier_wait(barrier(0), 0);
  });
}

TEST_F(WarpgroupTest, TileThatNobodyWaitsFor) {
  expect_fault({FaultKind::copy_unfinished}, [&] {
    begin();
    if (thread() == 0) {
      cuda::barrier_arrive_expecting(barrier(0), kBytes);
      copy(0, 0, 0, 0, 0);
    }
  });
}

TEST_F(WarpgroupTest, ProductsThatNobodyWaitsFor) {
  expect_fault({FaultKind::copy_unfinished}, [&] {
    begin();
    if (thread() == 0) {
      cuda::barrier_arrive_expecting(barrier(0), kBytes);
      copy(0, 0, 0, 0, 0);
    }
    cuda::barrier_wait(barrier(0), 0);
    if (thread() >= 128) return;
    float d[8][4] = {};
    cuda::multiply_warpgroup(d, cuda::operand(tile(0), 0), cuda::operand(tile(0), 0), false, bfloat16{});
    cuda::warpgroup_commit();
  });
}

TEST_F(WarpgroupTest, BarrierThatNobodyMade) {
  expect_fault({FaultKind::uninitialized}, [&] { cuda::barrier_arrive(barrier(0)); });
}

TEST_F(WarpgroupTest, MoreArrivalsThanABarrierIsFor) {
  expect_fault({FaultKind::barrier}, [&] {
    begin(1);
    if (thread() == 0) {
      cuda::barrier_arrive(barrier(1));
      cuda::barrier_arrive_expecting(barrier(1), 16);
      cuda::barrier_arrive(barrier(1));
    }
  });
}

}  // namespace
}  // namespace powerhouse::cuda_on_host
