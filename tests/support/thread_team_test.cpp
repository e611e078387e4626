#include "support/thread_team.h"

#include <gtest/gtest.h>

#include <atomic>
#include <stdexcept>
#include <vector>

#include "expect_error.h"
#include "support/cpu_info.h"

namespace powerhouse {
namespace {

TEST(ThreadTeam, SharesEveryItemOnce) {
  for (const std::int64_t count : {0, 1, 7, 64, 1000}) {
    for (const int workers : {1, 2, 3, 8}) {
      for (const std::int64_t grain : {1, 8, 100}) {
        std::int64_t next = 0;
        for (int worker = 0; worker < workers; ++worker) {
          const Range range = share(count, worker, workers, grain);
          EXPECT_EQ(range.begin, next);
          EXPECT_TRUE(range.begin % grain == 0 || range.begin == count);
          next = range.end;
        }
        EXPECT_EQ(next, count);
      }
    }
  }
}

TEST(ThreadTeam, RunsEveryItemOnce) {
  const int before = team_threads();
  for (const int threads : {1, 2, 4}) {
    set_team_threads(threads);
    std::vector<std::atomic<int>> hits(1001);
    parallel_for(1001, 10, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) ++hits[static_cast<std::size_t>(i)];
    });
    for (const auto& hit : hits) EXPECT_EQ(hit, 1);
  }
  set_team_threads(before);
}

TEST(ThreadTeam, PassesExceptionsOn) {
  EXPECT_THROW(parallel_for(100, 1, [](std::int64_t, std::int64_t) { throw std::runtime_error("no"); }),
               std::runtime_error);
}

TEST(ThreadTeam, RefusesAbsurdNumbers) {
  testing::expect_error(ErrorKind::range, "threads", [] { set_team_threads(0); });
  testing::expect_error(ErrorKind::range, "threads", [] { set_team_threads(100'000); });
}

TEST(CpuInfo, KnowsThisMachine) {
  EXPECT_GE(usable_cores(), 1);
  EXPECT_FALSE(processor_name().empty());
  EXPECT_GT(peak_resident_bytes(), 1u << 20);
}

// Every worker sees what all wrote before the barrier, with more workers than processors too.
TEST(RunTeam, BarriersPartTheSteps) {
  for (const int count : {1, 2, 5}) {
    std::vector<int> steps(16, 0);
    std::atomic<int> wrong{0};
    run_team(count, [&](int worker, int workers, Barrier& barrier) noexcept {
      for (int step = 1; step <= 200; ++step) {
        steps[static_cast<std::size_t>(worker)] = step;
        barrier.wait(workers);
        for (int other = 0; other < workers; ++other) wrong += steps[static_cast<std::size_t>(other)] != step ? 1 : 0;
        barrier.wait(workers);
      }
    });
    EXPECT_EQ(wrong, 0) << count;
    EXPECT_EQ(steps[0], 200);
  }
}

// Whoever sets the number of threads meanwhile changes nothing: buffers are made for the number that was asked for.
TEST(RunTeam, TakesNoMoreWorkersThanAskedFor) {
  const int threads = team_threads();
  set_team_threads(5);
  std::atomic<int> most{0}, runs{0};
  run_team(2, [&](int, int workers, Barrier&) noexcept {
    most = workers;
    ++runs;
  });
  EXPECT_LE(most, 2);
  EXPECT_EQ(runs, most);
  set_team_threads(threads);
}

}  // namespace
}  // namespace powerhouse
