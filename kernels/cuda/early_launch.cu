#include "kernels/cuda/early_launch.h"

#include <cuda_runtime.h>

#include <atomic>

namespace powerhouse::cuda {

namespace {

/// Compiled for the same architectures as all others.
__global__ void any_kernel() {}

/// The capability that the code was written for, not the one it became machine code of.
bool current_device_has_new_code() {
  cudaFuncAttributes found{};
  if (cudaFuncGetAttributes(&found, any_kernel) != cudaSuccess) {
    cudaGetLastError();  // the launch itself says what is wrong
    return false;
  }
  return found.ptxVersion >= 90;
}

}  // namespace

bool kernels_wait_for_launch_before() {
  enum Answer : signed char { unknown, yes, no };
  constexpr int kKept = 64;
  static std::atomic<signed char> answers[kKept];
  int device = 0;
  cudaGetDevice(&device);
  if (device < 0 || device >= kKept) return current_device_has_new_code();
  signed char answer = answers[device].load(std::memory_order_relaxed);
  if (answer == unknown) {
    answer = current_device_has_new_code() ? yes : no;
    answers[device].store(answer, std::memory_order_relaxed);
  }
  return answer == yes;
}

}  // namespace powerhouse::cuda
