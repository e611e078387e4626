// How the CUDA kernels come into the process: libtorch_cuda.so of the LibTorch in use, then libpowerhouse_cuda.so, both
// opened when a CUDA device is first asked for. Programs that never ask pay nothing and need neither.
#pragma once

#include <string>

#include "kernels/cuda/kernel_table.h"

namespace powerhouse::ops {

/// The kernels, once both libraries are open and the device is there and new enough; quick when asked again. May be
/// called from any thread.
///
/// Throws Error{device}: this build has no CUDA, a library is missing or cannot be loaded (with the loader's words),
/// there is no driver, no GPU, not that many, or one of a compute capability below 8.0.
const cuda::KernelTable& cuda_kernels(int device);

/// LibTorch's current stream of the device, which stays LibTorch's. Only behind cuda_kernels(device).
cuda::Stream cuda_stream(int device);

/// The parts of cuda_kernels(), for tests: Error{device} each.
struct CudaFolders {
  std::string libtorch{};    ///< of libtorch_cpu.so
  std::string powerhouse{};  ///< of the library's own code
};
CudaFolders cuda_folders();
const cuda::KernelTable& open_cuda_kernels(const CudaFolders& folders);
void check_cuda_device(const cuda::KernelTable& kernels, int device);

}  // namespace powerhouse::ops
