// A device without hardware, for tests of what the library does on CUDA. LibTorch sees a device of its own type
// (PrivateUse1): tensors of it and of the CPU do not mix, autograd runs on its own thread, and memory.h keeps the host
// out of its memory. LibTorch's operations are those of the CPU on that memory (operations.cpp); our kernels are the
// CUDA kernels themselves under the shim of tests/cuda_on_host (kernels.h).
#pragma once

#include <c10/core/Device.h>

namespace powerhouse::pretended_device {

c10::Device device();

}  // namespace powerhouse::pretended_device
