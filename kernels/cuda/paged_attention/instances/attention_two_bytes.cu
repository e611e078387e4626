#include "kernels/cuda/device_launcher.cuh"
#include "kernels/cuda/paged_attention/launch.cuh"
#include "kernels/cuda/paged_attention/launchers.h"

namespace powerhouse::cuda {

void paged_attention_two_bytes(const PagedAttentionParams& params, Stream stream) {
  launch_paged_attention_of<TwoBytes>(DeviceLauncher{stream}, params);
}

}  // namespace powerhouse::cuda
