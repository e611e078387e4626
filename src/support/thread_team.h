// The one thread pool: OpenMP's, shared with LibTorch (one libgomp in the process).
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <type_traits>
#include <utility>

namespace powerhouse {

/// Threads that parallel regions use; `set_team_threads` also sets OpenMP's number for the calling thread.
int team_threads() noexcept;
void set_team_threads(int count);

/// The part [begin, end) of `count` items that worker `index` of `workers` takes, in multiples of `grain`.
struct Range {
  std::int64_t begin, end;
};
Range share(std::int64_t count, int index, int workers, std::int64_t grain = 1) noexcept;

/// Runs body(begin, end) over [0, count) on the team, one fork. Small counts (below `grain` a worker) run here alone.
/// Exceptions thrown by the body are passed on (the first of them).
void parallel_for(std::int64_t count, std::int64_t grain, void (*body)(std::int64_t, std::int64_t, void*), void* state);

template <typename Body>
void parallel_for(std::int64_t count, std::int64_t grain, Body&& body) {
  parallel_for(
      count, grain,
      [](std::int64_t begin, std::int64_t end, void* state) {
        (*static_cast<std::remove_reference_t<Body>*>(state))(begin, end);
      },
      const_cast<void*>(static_cast<const void*>(&body)));
}

/// Runs body(claim) once on each thread of the team that finds work, where claim() is the next of `count` items, or
/// `count` and more when all are taken: threads that are slower, or held up, take fewer.
template <typename Body>
void claim_items(std::int64_t count, Body&& body) {
  std::atomic<std::int64_t> next{0};
  const std::int64_t threads = count < team_threads() ? count : team_threads();
  parallel_for(threads, 1, [&](std::int64_t, std::int64_t) { body([&next] { return next++; }); });
}

/// Likewise, but each thread begins with a share of neighbours and takes others' items only when those are done: what
/// it made ready for one item may serve the next.
template <typename Body>
void claim_neighbours(std::int64_t count, Body&& body) {
  struct alignas(64) Share {
    std::atomic<std::int64_t> next{0};
    std::int64_t end = 0;
  };
  const int threads = static_cast<int>(count < team_threads() ? count : team_threads());
  const auto shares = std::make_unique<Share[]>(static_cast<std::size_t>(threads));
  for (int i = 0; i < threads; ++i) {
    const Range range = share(count, i, threads);
    shares[static_cast<std::size_t>(i)].next = range.begin;
    shares[static_cast<std::size_t>(i)].end = range.end;
  }
  parallel_for(threads, 1, [&](std::int64_t own, std::int64_t) {
    body([&, at = own]() mutable {
      for (int tried = 0; tried < threads; ++tried, at = (at + 1) % threads) {
        Share& from = shares[static_cast<std::size_t>(at)];
        if (from.next.load(std::memory_order_relaxed) >= from.end) continue;
        if (const std::int64_t item = from.next++; item < from.end) return item;
      }
      return count;
    });
  });
}

/// Where the workers of a team wait for each other: spinning for some microseconds, then asleep.
class Barrier {
 public:
  void wait(int workers) noexcept;

 private:
  alignas(64) std::atomic<int> arrived_{0};
  alignas(64) std::atomic<std::uint32_t> round_{0};
};

/// Runs body(worker, workers, barrier) once on each of `workers` threads of the team, or on fewer where OpenMP gives no
/// more; one fork: steps with a barrier between cost a tenth of a fork each. Every worker must come to the same
/// barriers, so that none may leave by an exception: what a body needs is made before.
void run_team(int workers, void (*body)(int, int, Barrier&, void*) noexcept, void* state);

template <typename Body>
void run_team(int workers, Body&& body) {
  static_assert(noexcept(body(0, workers, std::declval<Barrier&>())), "a worker's body must be noexcept");
  run_team(
      workers,
      [](int worker, int count, Barrier& barrier, void* state) noexcept {
        (*static_cast<std::remove_reference_t<Body>*>(state))(worker, count, barrier);
      },
      const_cast<void*>(static_cast<const void*>(&body)));
}

}  // namespace powerhouse
