// Runs a CUDA kernel on the CPU and checks what it does: the file that tests include.
//
// The threads of a block are flows on one thread of the operating system, switched only where they wait for each other,
// so that a seed repeats a failure. Blocks run one after another. The first fault ends the launch. Kernel files are
// compiled with -fsanitize=thread and linked without its library: g++ then reports every plain load and store to hooks
// of ours (hooks.cpp). What this cannot see is written in docs/cuda.md.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "cuda_on_host/fault.h"
#include "cuda_on_host/memory.h"
#include "cuda_on_host/traffic.h"

namespace powerhouse::cuda_on_host {

/// Which of the threads that could run goes next: the first, the last, or any.
enum class Order { forward, backward, random };
inline constexpr Order kOrders[] = {Order::forward, Order::backward, Order::random};

struct LaunchOptions {
  Order order = Order::random;
  std::uint64_t seed = 1;
  std::int64_t traffic_block = -1;  ///< the block, counted x first, whose accesses are counted; -1: none
};

struct LaunchReport {
  std::optional<Fault> fault{};
  std::int64_t switches = 0, barriers = 0, warp_barriers = 0, shuffles = 0, votes = 0, products = 0, matrix_loads = 0,
               matrix_stores = 0, copies = 0, atomics = 0, loads = 0, stores = 0;
  std::vector<InstructionTraffic> traffic{};

  std::string text() const { return fault ? fault->text() : "clean"; }
};

/// A callable, not owned: it stays where its maker has it, on the stack, where kernels may read what it captured.
class Kernel {
 public:
  template <typename F>
  Kernel(const F& callable)  // NOLINT(google-explicit-constructor): what a launch is given
      : object_(&callable), call_([](const void* object) { (*static_cast<const F*>(object))(); }) {}
  void operator()() const { call_(object_); }

 private:
  const void* object_;
  void (*call_)(const void*);
};

/// `kernel` is called once a thread, with the position of each in threadIdx and blockIdx.
LaunchReport launch(Dim3 grid, Dim3 block, std::size_t shared_bytes, GlobalMemory& memory, const LaunchOptions& options,
                    const Kernel& kernel);

}  // namespace powerhouse::cuda_on_host
