// Which thread of the block runs: each until it waits for others, then one of those that can.
#pragma once

#include <cstdint>
#include <vector>

#include "cuda_on_host/context.h"
#include "cuda_on_host/device.h"
#include "cuda_on_host/launch.h"

namespace powerhouse::cuda_on_host {

class Scheduler {
 public:
  /// Threads of a new block, all ready.
  void start(const Position& block, const LaunchOptions& options, std::uint64_t seed);
  /// Runs them until none can go on. True if all have ended.
  bool run(void (*entry)());

  /// The running thread stops until someone wakes it. `where` says at what, for a report.
  void wait(const char* where);
  void wake(unsigned thread);
  /// The running thread is done; then, when its end has been told to those who count it, it leaves for good.
  void mark_ended();
  [[noreturn]] void leave_for_good();
  /// Back to run(), for good.
  [[noreturn]] void abandon();

  unsigned live() const { return live_; }
  std::int64_t switches() const { return switches_; }
  /// Who waits where, and the first of them in `position`.
  std::string waiting();
  bool on_stack(const void* address) const { return stacks_.hold(address); }

 private:
  struct Thread {
    Context context;
    Position position;
    const char* where = nullptr;
    bool ended = false;
  };

  unsigned pick();
  void leave();

  Stacks stacks_;
  std::vector<Thread> threads_;
  std::vector<std::uint64_t> ready_;  // a bit a thread
  Context main_;
  Order order_ = Order::random;
  std::uint64_t random_ = 1;
  unsigned live_ = 0;
  std::int64_t switches_ = 0;
};

}  // namespace powerhouse::cuda_on_host
