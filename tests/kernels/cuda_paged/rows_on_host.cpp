#include "kernels/cuda/few_block_rows.cuh"
#include "kernels/cuda/few_rows_product.cuh"
#include "kernels/cuda/lora_gather.cuh"
#include "kernels/cuda/paged_attention/rows.cuh"
#include "kernels/cuda/rope_write.cuh"
#include "kernels/cuda_paged/paged_on_host.h"

namespace powerhouse::testing {

bool paged_write_on_host(const cuda::PagedWriteParams& params, const CountingLauncher& launcher) {
  return cuda::launch_paged_write(launcher, params);
}
bool paged_gather_on_host(const cuda::PagedGatherParams& params, const CountingLauncher& launcher) {
  return cuda::launch_paged_gather(launcher, params);
}
bool page_copy_on_host(const cuda::PageCopyParams& params, const CountingLauncher& launcher) {
  return cuda::launch_page_copy(launcher, params);
}
bool few_rows_product_on_host(const cuda::FewRowsParams& params, const CountingLauncher& launcher) {
  using F = BlockFormat;
  using Formats = cuda::FormatFamily<F::q4_0, F::q8_0, F::q4_k, F::q6_k, F::nf4, F::iq2_xs>;
  return params.blocks ? cuda::launch_few_block_rows(Formats{}, launcher, params)
                       : cuda::launch_few_rows_product(launcher, params);
}
bool rope_write_on_host(const cuda::RopeWriteParams& params, const CountingLauncher& launcher) {
  return cuda::launch_rope_write(launcher, params);
}
bool lora_gather_on_host(const cuda::LoraGatherParams& params, const CountingLauncher& launcher) {
  return cuda::launch_lora_gather(launcher, params);
}

}  // namespace powerhouse::testing
