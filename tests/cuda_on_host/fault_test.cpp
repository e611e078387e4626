// Each small kernel breaks one rule, which has to be named; beside it stands one that keeps it.
#include "cuda_on_host/expect_launch.h"

namespace powerhouse::cuda_on_host {
namespace {

using cuda::sync_block;
using cuda::sync_warp;

constexpr FaultKind kRead = FaultKind::write_read_race, kWrite = FaultKind::write_write_race,
                    kAfterRead = FaultKind::read_write_race;

using SharedRace = LaunchTest;

TEST_F(SharedRace, NoneWithABarrierBetween) {
  expect_clean({.blocks = 2, .threads = 64}, [&] {
    shared()[thread()] = 1;
    sync_block();
    output[blockIdx.x * 64 + thread()] = shared()[63 - thread()];
  });
}

TEST_F(SharedRace, ReadAfterAWarpBarrierOnly) {
  expect_fault({kRead, kAfterRead}, "at shared+", {.threads = 64}, [&] {
    shared()[thread()] = 0;
    sync_block();
    shared()[thread()] = 1;
    sync_warp();
    output[thread()] = shared()[(thread() + 32) % 64];
  });
}

TEST_F(SharedRace, TwoWriters) {
  expect_fault({kWrite}, "the other: warp 0", {.threads = 32}, [&] { shared()[thread() / 2] = 1; });
}

TEST_F(SharedRace, HalvesOfAWordAreApart) {
  const auto halves = [] { return reinterpret_cast<std::uint16_t*>(shared()); };
  expect_clean({}, [&] {
    halves()[thread()] = 1;
    sync_warp();
    halves()[31 - thread()] = 2;
  });
}

TEST_F(SharedRace, WrittenAfterAnotherLaneRead) {
  expect_fault({kAfterRead, kRead}, "at shared+", {}, [&] {
    shared()[thread()] = 1;
    sync_warp();
    output[thread()] = shared()[(thread() + 1) % 32];
    shared()[thread()] = 2;
  });
}

TEST_F(SharedRace, WrittenAfterManyLanesOfAWarpRead) {
  // Every reader counts: only lane 31's read is not ordered before the write.
  expect_fault({kAfterRead}, "at shared+0", {}, [&] {
    if (thread() == 0) shared()[0] = 1;
    sync_warp();
    output[thread()] = shared()[0];
    cuda::shuffle(0, 0);  // lanes meet, but memory is not ordered
    if (thread() < 31) sync_warp(0x7FFFFFFF);
    if (thread() == 0) shared()[0] = 2;
  });
}

TEST_F(SharedRace, AShuffleIsNoBarrier) {
  expect_fault({kRead}, "at shared+", {}, [&] {
    shared()[thread()] = 1;
    cuda::shuffle_xor(1, 1);
    output[thread()] = shared()[thread() ^ 1];
  });
}

using GlobalRace = LaunchTest;

TEST_F(GlobalRace, TwoBlocksWriteOneWord) {
  expect_fault({kWrite}, "of another block", {.blocks = 2}, [&] { output[thread()] = 1; });
}

TEST_F(GlobalRace, ABlockReadsWhatAnotherWrote) {
  expect_fault({kRead}, "at in_out+0", {.blocks = 2}, [&] {
    if (blockIdx.x == 0 && thread() == 0) in_out[0] = 1;
    if (blockIdx.x == 1 && thread() == 0) output[0] = in_out[0];
  });
}

TEST_F(GlobalRace, ThreadsOfABlock) {
  expect_fault({kRead, kAfterRead}, "at in_out+", {}, [&] {
    in_out[thread()] = 1;
    output[thread()] = in_out[31 - thread()];
  });
  expect_clean({}, [&] {
    in_out[thread()] = 1;
    sync_warp();
    output[thread()] = in_out[31 - thread()];
  });
}

using Bounds = LaunchTest;

TEST_F(Bounds, SharedBeyondWhatWasAskedFor) {
  expect_fault({FaultKind::bounds}, "warp 2 lane 0 at shared+256", {.threads = 65, .shared_bytes = 256},
               [&] { shared()[thread()] = 1; });
}

TEST_F(Bounds, GlobalStoreAndLoad) {
  expect_fault({FaultKind::bounds}, "at output+1024", {.threads = 257}, [&] { output[thread()] = 1; });
  expect_fault({FaultKind::bounds}, "at input-4", {}, [&] { output[0] = input.data()[-1]; });
}

TEST_F(Bounds, RowOfLdmatrix) {
  expect_fault({FaultKind::bounds}, "at shared+1024", {}, [&] {
    std::uint32_t r[4];
    cuda::load_matrix_x4(r, shared() + 256);
  });
  expect_fault({FaultKind::bounds}, "outside shared memory", {}, [&] {
    std::uint32_t r[4];
    cuda::load_matrix_x4(r, input.data());
  });
}

TEST_F(Bounds, AnInputIsNotWritten) {
  expect_fault({FaultKind::read_only}, "lane 3 at input+12", {}, [&] {
    if (thread() == 3) input[3] = 1;
  });
}

using Uninitialized = LaunchTest;

TEST_F(Uninitialized, Shared) {
  expect_fault({FaultKind::uninitialized}, "at shared+", {}, [&] { output[thread()] = shared()[thread()]; });
}

TEST_F(Uninitialized, SharedIsNewForEachBlock) {
  expect_fault({FaultKind::uninitialized}, "block 1,0,0 warp 0 lane 0 at shared+0", {.blocks = 2}, [&] {
    if (blockIdx.x == 0) shared()[thread()] = 1;
    sync_block();
    if (thread() == 0) output[blockIdx.x] = shared()[0];
  });
}

TEST_F(Uninitialized, HalfAWord) {
  expect_fault({FaultKind::uninitialized}, "at shared+2", {}, [&] {
    if (thread() > 0) return;
    reinterpret_cast<std::uint16_t*>(shared())[0] = 1;
    output[0] = shared()[0];
  });
}

TEST_F(Uninitialized, AnOutput) {
  expect_fault({FaultKind::uninitialized}, "at output+", {}, [&] { in_out[thread()] = output[thread()]; });
}

TEST_F(Uninitialized, WhatOneLaunchWritesTheNextMayRead) {
  GlobalMemory memory;
  memory.add(output.data(), output.bytes(), "output", Contents::output);
  memory.add(in_out.data(), in_out.bytes(), "in_out", Contents::in_out);
  EXPECT_EQ(memory.named("output").shadow.unwritten(), 1024u);
  EXPECT_FALSE(launch({1}, {32}, 0, memory, {}, [&] { output[thread()] = 1; }).fault);
  EXPECT_EQ(memory.named("output").shadow.unwritten(), 1024u - 128);
  EXPECT_FALSE(launch({1}, {32}, 0, memory, {}, [&] { in_out[thread()] = output[31 - thread()]; }).fault);
  EXPECT_EQ(memory.named("output").bytes_read, 128u);
  EXPECT_EQ(memory.named("in_out").bytes_written, 128u);
}

using Misaligned = LaunchTest;

TEST_F(Misaligned, PlainAccess) {
  expect_fault({FaultKind::misaligned}, "at in_out+4", {.threads = 1},
               [&] { *reinterpret_cast<double*>(in_out.data() + 1) = 1; });
}

TEST_F(Misaligned, RowOfLdmatrix) {
  expect_fault({FaultKind::misaligned}, "ldmatrix", {}, [&] {
    std::uint32_t r[4];
    cuda::load_matrix_x4(r, shared() + 2);
  });
}

using Divergence = LaunchTest;

TEST_F(Divergence, DifferentWarpOperations) {
  expect_fault({FaultKind::divergence}, "a shuffle", {}, [&] {
    if (thread() < 16) {
      cuda::shuffle_xor(1, 1);
    } else {
      sync_warp();
    }
  });
}

TEST_F(Divergence, OneOperationAtTwoPlaces) {
  expect_fault({FaultKind::divergence}, "a shuffle and a shuffle", {}, [&] {
    if (thread() < 16) {
      output[thread()] = cuda::shuffle_xor(1.0f, 1);
    } else {
      output[thread()] = cuda::shuffle_xor(2.0f, 2);
    }
  });
}

TEST_F(Divergence, TwoBarriersInOneWarp) {
  expect_fault({FaultKind::divergence}, "two barrier instructions", {.threads = 64}, [&] {
    if (thread() % 2 == 0) {
      sync_block();
      output[thread()] = 1;
    } else {
      sync_block();
      output[thread()] = 2;
    }
  });
}

TEST_F(Divergence, Masks) {
  expect_fault({FaultKind::mask}, "not in its own mask", {}, [&] { sync_warp(0xFFFF); });
  expect_fault({FaultKind::mask}, "different masks", {}, [&] { sync_warp(thread() % 2 == 0 ? ~0u : ~1u); });
  expect_fault({FaultKind::mask}, "does not take part", {}, [&] {
    if (thread() < 16) cuda::shuffle_xor(1, 16, 0xFFFF);
  });
}

using Deadlock = LaunchTest;

TEST_F(Deadlock, SomeNeverCome) {
  expect_fault({FaultKind::deadlock}, "8 threads wait at a shuffle", {.threads = 64}, [&] {
    if (thread() < 40) {
      cuda::shuffle_xor(1, 1);
    } else if (thread() > 50) {
      sync_block();
    }
  });
}

TEST_F(Deadlock, ThreadsThatEndedAreNotWaitedFor) {
  expect_clean({.threads = 64}, [&] {
    if (thread() >= 32) return;
    sync_block();
    output[thread()] = 1;
  });
}

}  // namespace
}  // namespace powerhouse::cuda_on_host
