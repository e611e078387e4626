#include "cuda_on_host/launch.h"

#include <stdexcept>

#include "cuda_on_host/machine.h"

namespace powerhouse::cuda_on_host {
namespace {

const Kernel* kernel_of_launch = nullptr;

void thread_entry() {
  Machine& all = machine();
  all.running = true;
  (*kernel_of_launch)();
  all.running = false;
  all.copies.check_finished();
  all.warpgroups.check_finished();
  all.threads.mark_ended();
  all.barriers.thread_ended();
  all.threads.leave_for_good();
}

/// False where a fault ended the block.
bool run_block(const Position& at, std::size_t shared_bytes, const LaunchOptions& options) {
  Machine& all = machine();
  const unsigned threads = at.block_size.x * at.block_size.y * at.block_size.z;
  const unsigned warps = (threads + 31) / 32;
  all.clocks.reset(threads);
  all.barriers.reset(warps);
  all.shared_barriers.reset();
  all.warps.reset(warps);
  all.warpgroups.reset(warps);
  all.copies.reset(threads);
  all.shared.reset(shared_bytes);
  all.proxies.reset(shared_bytes, threads);
  all.traffic.start(all.block == options.traffic_block);
  all.threads.start(at, options, (options.seed + all.block) * 0x9E3779B97F4A7C15u);
  const bool ended = all.threads.run(thread_entry);
  all.running = false;
  if (ended && !all.report->fault && !all.shared_barriers.finished()) {
    all.report->fault = Fault{.kind = FaultKind::copy_unfinished,
                              .block = at.block,
                              .buffer = "shared",
                              .detail = "a tile nobody waited for"};
  }
  if (!ended && !all.report->fault) {
    const std::string who = all.threads.waiting();
    Fault fault{.kind = FaultKind::deadlock, .block = at.block, .detail = who};
    fault.warp = position.warp;
    fault.lane = position.lane;
    all.report->fault = fault;
  }
  if (all.traffic.noting()) all.report->traffic = all.traffic.take();
  return !all.report->fault;
}

}  // namespace

Machine the_machine;

unsigned char* shared_memory() { return machine().shared.data(); }

LaunchReport launch(Dim3 grid, Dim3 block, std::size_t shared_bytes, GlobalMemory& memory, const LaunchOptions& options,
                    const Kernel& kernel) {
  if (shared_bytes > SharedMemory::kMost) throw std::invalid_argument("more shared memory than a multiprocessor has");
  if (block.x * block.y * block.z > 1024) throw std::invalid_argument("more threads than a block can have");
  LaunchReport report;
  Machine& all = machine();
  all.global = &memory;
  all.report = &report;
  kernel_of_launch = &kernel;
  memory.begin_launch();
  const std::int64_t switches = all.threads.switches();
  bool clean = true;
  all.block = 0;
  for (unsigned z = 0; z < grid.z && clean; ++z) {
    for (unsigned y = 0; y < grid.y && clean; ++y) {
      for (unsigned x = 0; x < grid.x && clean; ++x, ++all.block) {
        clean = run_block({{}, {x, y, z}, block, grid, 0, 0, 0}, shared_bytes, options);
      }
    }
  }
  report.switches = all.threads.switches() - switches;
  return report;
}

}  // namespace powerhouse::cuda_on_host
