// The 16 barriers of a block: bar.sync and bar.arrive, of which __syncthreads is number 0 for all threads.
#pragma once

#include <array>
#include <vector>

#include "cuda_on_host/clocks.h"

namespace powerhouse::cuda_on_host {

class Barriers {
 public:
  void reset(unsigned warps);

  /// The running thread says that it has come; `waits`: and stops until `threads` have. 0: all that have not ended.
  void come(unsigned id, unsigned threads, bool waits, const void* site);
  /// A thread has ended: those left may be all that a barrier waits for.
  void thread_ended();

 private:
  struct Barrier {
    unsigned expected = 0, come = 0;
    Clocks::Knowledge told;          // what those who came know
    std::vector<unsigned> waiting;   // threads
    std::vector<const void*> sites;  // by warp: all its lanes have to come from one instruction
  };

  void release(Barrier& barrier, unsigned running);

  std::array<Barrier, 16> barriers_;
  unsigned warps_ = 0;
};

}  // namespace powerhouse::cuda_on_host
