// The tile of paged attention that planted faults are looked for in: heads of 64, two bytes and float32.
#include "kernels/cuda/paged_attention/launch.cuh"
#include "kernels/cuda_paged/paged_on_host.h"

namespace powerhouse::testing {

bool paged_attention_on_host(const cuda::PagedAttentionParams& params, const CountingLauncher& launcher) {
  if (params.type == Element::f32) {
    cuda::launch_paged_tile<float, 64>(launcher, params);
  } else {
    cuda::launch_paged_tile<cuda::TwoBytes, 64>(launcher, params);
  }
  return true;
}

}  // namespace powerhouse::testing
