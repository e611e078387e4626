#include "kernels/cuda/flash_attention/launchers.h"

#include <cuda_runtime.h>

namespace powerhouse::cuda {

namespace {

/// Whether Hopper's kernel is worth its beginning: measured, smaller blocks are done sooner with so few keys.
bool hopper_pays(const FlashForwardParams& params) { return params.keys >= (params.head_dim <= 64 ? 384 : 96); }

/// The current device where it is a Hopper; one without multiprocessors elsewhere.
HopperDevice hopper_device() {
  int device = 0, major = 0, minor = 0, multiprocessors = 0, cache = 0;
  cudaGetDevice(&device);
  cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device);
  cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, device);
  if (major != 9 || minor != 0) return {};
  cudaDeviceGetAttribute(&multiprocessors, cudaDevAttrMultiProcessorCount, device);
  cudaDeviceGetAttribute(&cache, cudaDevAttrL2CacheSize, device);
  return {multiprocessors, std::int64_t{cache} * 2 / 3};
}

}  // namespace

bool flash_forward(const FlashForwardParams& params, Stream stream) {
  if (!flash_fits(params)) return false;
  const HopperDevice device = hopper_fits(params) && hopper_pays(params) ? hopper_device() : HopperDevice{};
  if (device.multiprocessors > 0) {
    bool taken = false;
    visit_hopper_tile(params.head_dim, [&](auto tile) { taken = hopper_forward(tile, params, device, stream); });
    if (taken) return true;
  }
  return visit_flash_tile(params.head_dim, [&](auto tile) { flash_forward(tile, params, stream); });
}

bool flash_backward(const FlashBackwardParams& params, Stream stream) {
  if (!flash_fits(params.forward)) return false;
  const HopperDevice device = hopper_backward_fits(params) ? hopper_device() : HopperDevice{};
  if (device.multiprocessors > 0) {
    bool taken = false;
    visit_hopper_tile(params.forward.head_dim,
                      [&](auto tile) { taken = hopper_backward(tile, params, device, stream); });
    if (taken) return true;
  }
  return visit_flash_backward_tile(params.forward.head_dim, [&](auto tile) { flash_backward(tile, params, stream); });
}

}  // namespace powerhouse::cuda
