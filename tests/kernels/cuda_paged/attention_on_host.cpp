#include "kernels/cuda/paged_attention/launch.cuh"
#include "kernels/cuda/paged_attention/launchers.h"
#include "kernels/cuda_paged/paged_on_host.h"

namespace powerhouse::testing {

bool paged_attention_on_host(const cuda::PagedAttentionParams& params, const CountingLauncher& launcher) {
  return cuda::launch_paged_attention(launcher, params);
}

}  // namespace powerhouse::testing
