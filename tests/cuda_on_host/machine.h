// Everything that belongs to the launch that runs; one at a time.
#pragma once

#include "cuda_on_host/barriers.h"
#include "cuda_on_host/clocks.h"
#include "cuda_on_host/copies.h"
#include "cuda_on_host/proxies.h"
#include "cuda_on_host/scheduler.h"
#include "cuda_on_host/shared_barriers.h"
#include "cuda_on_host/warp.h"
#include "cuda_on_host/warpgroup.h"

namespace powerhouse::cuda_on_host {

struct Machine {
  Scheduler threads;
  Clocks clocks;
  Barriers barriers;
  SharedBarriers shared_barriers;
  Warps warps;
  Warpgroups warpgroups;
  Copies copies;
  SharedMemory shared;
  Proxies proxies;
  Traffic traffic;
  GlobalMemory* global = nullptr;
  LaunchReport* report = nullptr;
  std::uint32_t block = 0;  // counted x first
  bool running = false;     // a kernel's own code runs, not the shim and not the launch around it

  Toucher toucher() const { return {clocks, block, position.index}; }
};

extern Machine the_machine;
inline Machine& machine() { return the_machine; }

/// While a kernel's thread is in the shim its accesses are not the kernel's: a standard template that the shim uses may
/// be the copy that a kernel's file was compiled with, hooks and all. Stands first in all that kernels call.
class InShim {
 public:
  InShim() { machine().running = false; }
  ~InShim() { machine().running = true; }
  InShim(const InShim&) = delete;
  InShim& operator=(const InShim&) = delete;
};

/// Reports what the running thread did, and ends the launch.
[[noreturn]] void fail(FaultKind kind, std::string detail = "");
[[noreturn]] void fail_at(FaultKind kind, std::uintptr_t address, std::string detail = "");

/// Checks an access of the running thread to shared or global memory, and counts it. The kinds name it where
/// traffic is counted; null: it is not. Addresses elsewhere are faults.
void check_access(std::uintptr_t address, std::size_t bytes, Use use, const char* shared_kind, const char* global_kind,
                  const void* site);

}  // namespace powerhouse::cuda_on_host
