// cp.async: arrives when it is waited for, and what is done too early or never is named.
#include "cuda_on_host/expect_launch.h"

namespace powerhouse::cuda_on_host {
namespace {

using CopyTest = LaunchTest;

TEST_F(CopyTest, BringsSizesAndZeros) {
  const auto kernel = [&] {
    if (thread() < 8) cuda::copy_async<16>(shared() + thread() * 4, input.data() + thread() * 4, thread() != 2);
    if (thread() < 16) cuda::copy_async<8>(shared() + 32 + thread() * 2, input.data() + 32 + thread() * 2, true);
    cuda::copy_async<4>(shared() + 64 + thread(), input.data() + 64 + thread(), true);
    cuda::copy_async_commit();
    cuda::copy_async_wait<0>();
    cuda::sync_block();
    for (unsigned i = thread(); i < 96; i += 32) output[i] = shared()[i];
  };
  for (const Order order : kOrders) {
    ASSERT_FALSE(run({}, kernel, {.order = order}).fault);
    for (unsigned i = 0; i < 96; ++i) EXPECT_EQ(output[i], i / 4 == 2 ? 0.0f : input[i]) << i;
  }
}

TEST_F(CopyTest, GroupsArriveInOrder) {
  expect_clean({}, [&] {
    for (int group = 0; group < 3; ++group) {
      cuda::copy_async<4>(shared() + group * 32 + thread(), input.data() + group * 32 + thread(), true);
      cuda::copy_async_commit();
    }
    cuda::copy_async_wait<1>();
    output[thread()] = shared()[thread()] + shared()[32 + thread()];
    cuda::copy_async_wait<0>();
  });
}

TEST_F(CopyTest, ReadBeforeTheWait) {
  expect_fault({FaultKind::copy_in_flight}, "at shared+", {}, [&] {
    cuda::copy_async<4>(shared() + thread(), input.data() + thread(), true);
    cuda::copy_async_commit();
    output[thread()] = shared()[thread()];
    cuda::copy_async_wait<0>();
  });
}

TEST_F(CopyTest, WaitOfTooFewGroups) {
  expect_fault({FaultKind::copy_in_flight}, "at shared+", {}, [&] {
    cuda::copy_async<4>(shared() + thread(), input.data() + thread(), true);
    cuda::copy_async_commit();
    cuda::copy_async_wait<1>();
    output[thread()] = shared()[thread()];
    cuda::copy_async_wait<0>();
  });
}

TEST_F(CopyTest, NoBarrierAfterTheWait) {
  expect_fault({FaultKind::write_read_race, FaultKind::copy_in_flight}, "at shared+", {.threads = 64}, [&] {
    shared()[thread()] = 0;
    cuda::sync_block();
    cuda::copy_async<4>(shared() + thread(), input.data() + thread(), true);
    cuda::copy_async_commit();
    cuda::copy_async_wait<0>();
    cuda::sync_warp();
    output[thread()] = shared()[63 - thread()];
  });
}

TEST_F(CopyTest, OverwritesWhatIsStillRead) {
  expect_fault({FaultKind::read_write_race, FaultKind::write_read_race, FaultKind::copy_in_flight}, "at shared+",
               {.threads = 64}, [&] {
                 shared()[thread()] = 0;
                 cuda::sync_block();
                 output[thread()] = shared()[63 - thread()];
                 cuda::copy_async<4>(shared() + thread(), input.data() + thread(), true);
                 cuda::copy_async_commit();
                 cuda::copy_async_wait<0>();
               });
}

TEST_F(CopyTest, NeverWaitedFor) {
  expect_fault({FaultKind::copy_unfinished}, "at shared+", {}, [&] {
    cuda::copy_async<4>(shared() + thread(), input.data() + thread(), true);
    cuda::copy_async_commit();
  });
}

TEST_F(CopyTest, AddressesAndBounds) {
  expect_fault({FaultKind::misaligned}, "at shared+4", {.threads = 1},
               [&] { cuda::copy_async<16>(shared() + 1, input.data(), true); });
  expect_fault({FaultKind::misaligned}, "at input+8", {.threads = 1},
               [&] { cuda::copy_async<16>(shared(), input.data() + 2, true); });
  expect_fault({FaultKind::bounds}, "at input+1024", {.threads = 1},
               [&] { cuda::copy_async<16>(shared(), input.data() + 256, true); });
  expect_fault({FaultKind::bounds}, "at shared+1024", {.threads = 1},
               [&] { cuda::copy_async<16>(shared() + 256, input.data(), true); });
  expect_fault({FaultKind::bounds}, "not shared memory", {.threads = 1},
               [&] { cuda::copy_async<16>(output.data(), input.data(), true); });
  expect_clean({.threads = 1}, [&] {  // nothing is read where it is not valid
    cuda::copy_async<16>(shared(), input.data() + 4096, false);
    cuda::copy_async_commit();
    cuda::copy_async_wait<0>();
  });
}

}  // namespace
}  // namespace powerhouse::cuda_on_host
