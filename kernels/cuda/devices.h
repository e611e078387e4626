// What the CUDA runtime says of its devices and of launches: members of the kernel table.
#pragma once

#include "kernels/cuda/kernel_table.h"

namespace powerhouse::cuda {

int device_count(const char** why);
const char* device_properties(int index, DeviceProperties& properties);
const char* take_error();

}  // namespace powerhouse::cuda
