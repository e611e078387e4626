// The one tile of paged attention that planted faults are looked for in: heads of 64, bf16.
#include "kernels/cuda/paged_attention/launch.cuh"
#include "kernels/cuda_paged/paged_on_host.h"

namespace powerhouse::testing {

bool paged_attention_on_host(const cuda::PagedAttentionParams& params, const CountingLauncher& launcher) {
  cuda::launch_paged_tile<bfloat16, 64>(launcher, params, BlockFormat::bf16);
  return true;
}

}  // namespace powerhouse::testing
