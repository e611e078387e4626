#include "kernels/cuda/devices.h"

#include <cuda_runtime.h>

namespace powerhouse::cuda {

namespace {

const char* words(cudaError_t error) { return error == cudaSuccess ? nullptr : cudaGetErrorString(error); }

}  // namespace

int device_count(const char** why) {
  int count = 0;
  const cudaError_t error = cudaGetDeviceCount(&count);
  cudaGetLastError();  // an answer, not a failure of the next launch
  if (error != cudaSuccess) {
    int driver = 0;  // the runtime calls a driver that is not there too old
    cudaDriverGetVersion(&driver);
    *why = driver == 0 ? "there is no NVIDIA driver (libcuda.so.1)" : words(error);
    return 0;
  }
  if (count == 0) *why = "no CUDA-capable device is detected";
  return count;
}

const char* device_properties(int index, DeviceProperties& properties) {
  cudaDeviceProp found;
  const cudaError_t error = cudaGetDeviceProperties(&found, index);
  if (error != cudaSuccess) {
    cudaGetLastError();
    return words(error);
  }
  for (std::size_t i = 0; i + 1 < sizeof properties.name && found.name[i] != 0; ++i) properties.name[i] = found.name[i];
  properties.major = found.major;
  properties.minor = found.minor;
  properties.multiprocessors = found.multiProcessorCount;
  properties.shared_bytes = static_cast<int>(found.sharedMemPerBlockOptin);
  properties.memory_bytes = found.totalGlobalMem;
  properties.memory_bus_bits = found.memoryBusWidth;
  cudaDeviceGetAttribute(&properties.clock_khz, cudaDevAttrClockRate, index);
  cudaDeviceGetAttribute(&properties.memory_clock_khz, cudaDevAttrMemoryClockRate, index);
  cudaGetLastError();  // clocks are not told everywhere
  return nullptr;
}

const char* take_error() { return words(cudaGetLastError()); }

}  // namespace powerhouse::cuda
