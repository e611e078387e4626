#include "cuda_on_host/scheduler.h"

#include <bit>
#include <cstdlib>
#include <map>

namespace powerhouse::cuda_on_host {

Position position{};

namespace {
constexpr unsigned kNone = ~0u;
}

void Scheduler::start(const Position& block, const LaunchOptions& options, std::uint64_t seed) {
  const Dim3 size = block.block_size;
  live_ = size.x * size.y * size.z;
  order_ = options.order;
  random_ = seed | 1;
  stacks_.reserve(live_);
  threads_.resize(live_);
  ready_.assign((live_ + 63) / 64, 0);
  for (unsigned i = 0; i < live_; ++i) {
    Thread& thread = threads_[i];
    thread = {};
    thread.position = block;
    thread.position.thread = {i % size.x, i / size.x % size.y, i / (size.x * size.y)};
    thread.position.lane = i % 32;
    thread.position.warp = i / 32;
    thread.position.index = i;
    wake(i);
  }
}

bool Scheduler::run(void (*entry)()) {
  for (unsigned i = 0; i < threads_.size(); ++i) threads_[i].context.prepare(stacks_.of(i), Stacks::kBytes, entry);
  Thread& first = threads_[pick()];
  position = first.position;
  main_.switch_to(first.context);
  return live_ == 0;
}

/// Takes a thread that is ready; kNone where there is none.
unsigned Scheduler::pick() {
  const auto words = static_cast<unsigned>(ready_.size());
  unsigned found = kNone;
  if (order_ == Order::backward) {
    for (unsigned word = words; word-- > 0 && found == kNone;) {
      if (ready_[word] != 0) found = word * 64 + 63 - static_cast<unsigned>(std::countl_zero(ready_[word]));
    }
  } else {
    unsigned start = 0;
    if (order_ == Order::random) {  // xorshift64
      random_ ^= random_ << 13;
      random_ ^= random_ >> 7;
      random_ ^= random_ << 17;
      start = static_cast<unsigned>(random_ >> 32) % (words * 64);
    }
    // From a place on, and once around: words + 1 looks, the first at only the end of a word.
    std::uint64_t bits = ready_[start / 64] & ~std::uint64_t{0} << start % 64;
    for (unsigned step = 0; step <= words && found == kNone; ++step) {
      const unsigned word = (start / 64 + step) % words;
      if (step > 0) bits = ready_[word];
      if (bits != 0) found = word * 64 + static_cast<unsigned>(std::countr_zero(bits));
    }
  }
  if (found != kNone) ready_[found / 64] &= ~(std::uint64_t{1} << found % 64);
  return found;
}

/// Lets another thread run; or the launch's own flow, which then sees whether all have ended or all wait.
void Scheduler::leave() {
  Thread& from = threads_[position.index];
  const unsigned next = pick();
  ++switches_;
  if (next == from.position.index) return;
  if (next == kNone) {
    from.context.switch_to(main_);
  } else {
    position = threads_[next].position;
    from.context.switch_to(threads_[next].context);
  }
}

void Scheduler::wait(const char* where) {
  threads_[position.index].where = where;
  leave();
}

void Scheduler::wake(unsigned thread) {
  threads_[thread].where = nullptr;
  ready_[thread / 64] |= std::uint64_t{1} << thread % 64;
}

void Scheduler::mark_ended() {
  threads_[position.index].ended = true;
  --live_;
}

void Scheduler::leave_for_good() {
  leave();
  std::abort();
}

void Scheduler::abandon() {
  threads_[position.index].context.switch_to(main_);
  std::abort();
}

std::string Scheduler::waiting() {
  std::map<std::string, int> counts;
  bool first = true;
  for (const Thread& thread : threads_) {
    if (thread.ended || thread.where == nullptr) continue;
    if (first) position = thread.position;
    first = false;
    ++counts[thread.where];
  }
  std::string out;
  for (const auto& [where, count] : counts) {
    out += (out.empty() ? "" : ", ") + std::to_string(count) + " threads wait at " + where;
  }
  return out + ", " + std::to_string(threads_.size() - live_) + " have ended";
}

}  // namespace powerhouse::cuda_on_host
