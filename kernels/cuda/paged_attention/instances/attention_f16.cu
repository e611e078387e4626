#include "kernels/cuda/device_launcher.cuh"
#include "kernels/cuda/paged_attention/launch.cuh"
#include "kernels/cuda/paged_attention/launchers.h"

namespace powerhouse::cuda {

void paged_attention_f16(const PagedAttentionParams& params, Stream stream) {
  launch_paged_attention_of<float16>(DeviceLauncher{stream}, params);
}

}  // namespace powerhouse::cuda
