// The table of launchers on the pretended device: the CUDA kernels' own code under the shim.
#pragma once

#include "kernels/cuda/kernel_table.h"

namespace powerhouse::pretended_device {

/// A launch with a fault (docs/cuda.md) throws std::runtime_error with the shim's words. Heads of at most 32.
const cuda::KernelTable& kernels();

/// How many launches there have been, so that tests can say that a kernel ran.
int launches();

}  // namespace powerhouse::pretended_device
