#include "cuda_on_host/barriers.h"

#include "cuda_on_host/machine.h"

namespace powerhouse::cuda_on_host {

void Barriers::reset(unsigned warps) {
  warps_ = warps;
  for (Barrier& barrier : barriers_) {
    barrier = {};
    barrier.sites.assign(warps, nullptr);
  }
}

void Barriers::come(unsigned id, unsigned threads, bool waits, const void* site) {
  Machine& all = machine();
  if (id >= barriers_.size()) fail(FaultKind::barrier, "barrier " + std::to_string(id));
  Barrier& barrier = barriers_[id];
  if (threads % 32 != 0) fail(FaultKind::barrier, std::to_string(threads) + " threads are not whole warps");
  if (barrier.come > 0 && barrier.expected != threads) {
    fail(FaultKind::barrier, "barrier " + std::to_string(id) + " for " + std::to_string(barrier.expected) +
                                 " and for " + std::to_string(threads));
  }
  const void*& own = barrier.sites[position.warp];
  if (own != nullptr && own != site) fail(FaultKind::divergence, "two barrier instructions");
  own = site;
  barrier.expected = threads;
  ++barrier.come;
  const unsigned me = position.index;
  all.clocks.tell(me, barrier.told);
  const unsigned expected = threads == 0 ? all.threads.live() : threads;
  if (waits) barrier.waiting.push_back(me);
  if (barrier.come == expected) return release(barrier, me);
  if (waits) all.threads.wait(id == 0 ? "a barrier of the block" : "a named barrier");
}

/// Wakes those who wait; the running thread, last to come, does not sleep.
void Barriers::release(Barrier& barrier, unsigned running) {
  Machine& all = machine();
  ++all.report->barriers;
  for (const unsigned thread : barrier.waiting) {
    all.clocks.hear(thread, barrier.told);
    if (thread != running) all.threads.wake(thread);
  }
  barrier.come = 0;
  barrier.told.clear();
  barrier.waiting.clear();
  barrier.sites.assign(warps_, nullptr);
}

void Barriers::thread_ended() {
  Barrier& all = barriers_[0];
  const unsigned live = machine().threads.live();
  if (all.come > 0 && all.expected == 0 && all.come == live) release(all, ~0u);
}

void come_to_barrier(int id, int threads, bool waits) {
  const InShim in_shim;
  machine().barriers.come(static_cast<unsigned>(id), static_cast<unsigned>(threads), waits,
                          __builtin_return_address(0));
}

}  // namespace powerhouse::cuda_on_host
