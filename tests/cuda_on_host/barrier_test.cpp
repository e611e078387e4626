// Named barriers order the threads that come to them, and no others.
#include "cuda_on_host/expect_launch.h"

namespace powerhouse::cuda_on_host {
namespace {

using BarrierTest = LaunchTest;

/// Warps 0 and 1 fill what warps 2 and 3 read, handed over by barrier 1; the room is given back by barrier 2.
TEST_F(BarrierTest, ProducersAndConsumers) {
  const auto kernel = [&] {
    const unsigned own = thread() % 64;
    float sum = 0;
    for (int round = 0; round < 4; ++round) {
      if (thread() < 64) {
        if (round > 0) cuda::sync_named(2, 128);
        shared()[own] = static_cast<float>(round) + input[own];
        cuda::arrive_named(1, 128);
      } else {
        cuda::sync_named(1, 128);
        sum += shared()[63 - own];
        if (round < 3) cuda::arrive_named(2, 128);
      }
    }
    if (thread() >= 64) output[own] = sum;
  };
  for (const Order order : kOrders) {
    const LaunchReport report = run({.threads = 128}, kernel, {.order = order});
    ASSERT_FALSE(report.fault) << report.text();
    EXPECT_EQ(report.barriers, 7);
    for (unsigned i = 0; i < 64; ++i) EXPECT_EQ(output[i], 6 + 4 * input[63 - i]);
  }
}

TEST_F(BarrierTest, ArrivingDoesNotOrderWhatComesAfter) {
  expect_fault({FaultKind::write_read_race, FaultKind::read_write_race}, "at shared+", {.threads = 64}, [&] {
    if (thread() < 32) {
      shared()[thread()] = 1;
      cuda::arrive_named(1, 64);
      shared()[thread()] = 2;
    } else {
      cuda::sync_named(1, 64);
      output[thread()] = shared()[thread() - 32];
    }
  });
}

TEST_F(BarrierTest, DoesNotOrderThoseWhoDidNotCome) {
  expect_fault({FaultKind::write_read_race, FaultKind::read_write_race}, "at shared+", {.threads = 96}, [&] {
    shared()[thread()] = 0;
    cuda::sync_block();
    if (thread() < 64) {
      shared()[thread()] = 1;
      cuda::sync_named(3, 64);
    } else {
      output[thread()] = shared()[thread() - 64];
    }
  });
}

TEST_F(BarrierTest, WhatOneHeardIsPassedOn) {
  expect_clean({.threads = 96}, [&] {  // warp 0 to warp 1 by barrier 1, warp 1 to warp 2 by barrier 2
    if (thread() < 32) {
      shared()[thread()] = 1;
      cuda::arrive_named(1, 64);
    } else if (thread() < 64) {
      cuda::sync_named(1, 64);
      cuda::arrive_named(2, 64);
    } else {
      cuda::sync_named(2, 64);
      output[thread()] = shared()[thread() - 64];
    }
  });
}

TEST_F(BarrierTest, SizesThatCannotBe) {
  expect_fault({FaultKind::barrier}, "barrier 1 for", {.threads = 64},
               [&] { cuda::sync_named(1, thread() < 32 ? 64 : 96); });
  expect_fault({FaultKind::barrier}, "whole warps", {.threads = 64}, [&] { cuda::sync_named(1, 48); });
  expect_fault({FaultKind::barrier}, "barrier 16", {.threads = 64}, [&] { cuda::sync_named(16, 64); });
  expect_fault({FaultKind::deadlock}, "64 threads wait at a named barrier", {.threads = 64},
               [&] { cuda::sync_named(1, 96); });
}

}  // namespace
}  // namespace powerhouse::cuda_on_host
