// Flash attention's forward kernel on one problem: the run under the shim, and the definition in float64 that it is
// held to.
#pragma once

#include <memory>
#include <string>

#include "cuda_on_host/launch.h"
#include "kernels/cuda/flash_case.h"

namespace powerhouse::testing {

class FlashProblem {
 public:
  FlashProblem(const FlashCase& one, std::uint64_t seed, bool gaps = true) : inputs_(one, seed, gaps) {}

  /// Launches a kernel on the problem: the one of flash_forward_launch.h, or another.
  using Run = cuda_on_host::LaunchReport (*)(const cuda::FlashForwardParams&, cuda_on_host::GlobalMemory&,
                                             const cuda_on_host::LaunchOptions&);
  cuda_on_host::LaunchReport run(const cuda_on_host::LaunchOptions& options, Run kernel);
  cuda_on_host::LaunchReport run(const cuda_on_host::LaunchOptions& options);
  cuda::FlashForwardParams params() { return inputs_.params(); }
  /// What is wrong with the results of the last run; empty where nothing is.
  std::string wrong() const;
  /// Of one document with one-hot values: weights that are kept and should not be, or the other way round.
  int wrong_masks() const;
  cuda_on_host::GlobalMemory& memory() { return *memory_; }

 private:
  std::string wrong_row(int document, int head, int query) const;

  FlashInputs inputs_;
  std::unique_ptr<cuda_on_host::GlobalMemory> memory_{};
};

}  // namespace powerhouse::testing
