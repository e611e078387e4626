#include "support/thread_team.h"

#include <algorithm>
#include <atomic>
#include <exception>

#include "powerhouse/error.h"
#include "support/cpu_info.h"

#ifdef _OPENMP
#include <omp.h>
#else
// Built without OpenMP (the fuzzers: clang without its OpenMP library), a team is one thread.
static int omp_in_parallel() { return 1; }
static void omp_set_num_threads(int) {}
static int omp_get_thread_num() { return 0; }
static int omp_get_num_threads() { return 1; }
#endif

namespace powerhouse {
namespace {

std::atomic<int>& thread_count() {
  static std::atomic<int> count{usable_cores()};
  return count;
}

}  // namespace

int team_threads() noexcept { return thread_count().load(std::memory_order_relaxed); }

void set_team_threads(int count) {
  if (count < 1 || count > 1024) {
    throw Error(ErrorKind::range, "number of threads out of range",
                {.field = "threads", .expected = "1 to 1024", .found = std::to_string(count)});
  }
  thread_count() = count;
  omp_set_num_threads(count);
}

Range share(std::int64_t count, int index, int workers, std::int64_t grain) noexcept {
  const std::int64_t pieces = (count + grain - 1) / grain;
  const std::int64_t begin = pieces * index / workers * grain;
  const std::int64_t end = pieces * (index + 1) / workers * grain;
  return {std::min(begin, count), std::min(end, count)};
}

void parallel_for(std::int64_t count, std::int64_t grain, void (*body)(std::int64_t, std::int64_t, void*),
                  void* state) {
  if (count <= 0) return;
  grain = std::max<std::int64_t>(grain, 1);
  const auto workers = static_cast<int>(std::min<std::int64_t>(team_threads(), (count + grain - 1) / grain));
  if (workers <= 1 || omp_in_parallel() != 0) {
    body(0, count, state);
    return;
  }
  std::exception_ptr failure;
#pragma omp parallel num_threads(workers)
  {
    const Range range = share(count, omp_get_thread_num(), omp_get_num_threads(), grain);
    try {
      if (range.begin < range.end) body(range.begin, range.end, state);
    } catch (...) {
#pragma omp critical(powerhouse_parallel_failure)
      if (!failure) failure = std::current_exception();
    }
  }
  if (failure) std::rethrow_exception(failure);
}

void Barrier::wait(int workers) noexcept {
  if (workers == 1) return;
  constexpr int kSpins = 2048;  // some tens of microseconds
  const std::uint32_t round = round_.load(std::memory_order_relaxed);
  if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == workers) {
    arrived_.store(0, std::memory_order_relaxed);
    round_.store(round + 1, std::memory_order_release);
    round_.notify_all();
    return;
  }
  for (int spin = 0; spin < kSpins; ++spin) {
    if (round_.load(std::memory_order_acquire) != round) return;
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#endif
  }
  // Asleep, it leaves the processor to the worker that it waits for; giving its time away, it would be back at once.
  round_.wait(round, std::memory_order_acquire);  // returns only when the round has changed
}

void run_team(int workers, void (*body)(int, int, Barrier&, void*) noexcept, void* state) {
  Barrier barrier;
  if (workers <= 1 || omp_in_parallel() != 0) {
    body(0, 1, barrier, state);
    return;
  }
#pragma omp parallel num_threads(workers)
  body(omp_get_thread_num(), omp_get_num_threads(), barrier, state);
}

}  // namespace powerhouse
