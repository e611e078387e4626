#include "pretended_device/instances_on_host.h"

#include "kernels/cuda/blocks_product.cuh"
#include "kernels/cuda/few_rows_product.cuh"
#include "kernels/cuda/flash_attention/backward_launch.cuh"
#include "kernels/cuda/flash_attention/forward_launch.cuh"
#include "kernels/cuda/flash_attention/launchers.h"
#include "kernels/cuda/lora_gather.cuh"
#include "kernels/cuda/paged_attention/launch.cuh"
#include "kernels/cuda/paged_attention/launchers.h"
#include "kernels/cuda/paged_attention/rows.cuh"
#include "kernels/cuda/rope_write.cuh"
#include "kernels/cuda_rows/kernels_on_host.h"

namespace powerhouse::pretended_device {

bool flash_forward_on_host(const cuda::FlashForwardParams& params, const testing::HostLauncher& launcher) {
  if (!cuda::flash_fits(params) || params.head_dim > 32) return false;
  cuda::launch_flash_forward<32>(launcher, params);
  return true;
}

bool flash_backward_on_host(const cuda::FlashBackwardParams& params, const testing::HostLauncher& launcher) {
  if (!cuda::flash_fits(params.forward) || params.forward.head_dim > 32) return false;
  cuda::launch_flash_backward<32>(launcher, params);
  return true;
}

bool paged_attention_on_host(const cuda::PagedAttentionParams& params, const testing::HostLauncher& launcher) {
  if (!cuda::paged_attention_fits(params) || params.cache.head_dim > 64) return false;
  if (params.type != Element::f32) {
    cuda::launch_paged_tile<cuda::TwoBytes, 64>(launcher, params);
  } else {
    cuda::launch_paged_tile<float, 64>(launcher, params);
  }
  return true;
}

bool paged_write_on_host(const cuda::PagedWriteParams& params, const testing::HostLauncher& launcher) {
  return cuda::launch_paged_write(launcher, params);
}

bool paged_gather_on_host(const cuda::PagedGatherParams& params, const testing::HostLauncher& launcher) {
  return cuda::launch_paged_gather(launcher, params);
}

bool product_on_host(const cuda::QuantizedProductParams& params, const testing::HostLauncher& launcher) {
  if (cuda::is_exact(params.type, params.rows)) return testing::quantized_product_on_host(params, launcher);
  return cuda::launch_blocks_product(cuda::LegacyFormats{}, launcher, params);
}

bool page_copy_on_host(const cuda::PageCopyParams& params, const testing::HostLauncher& launcher) {
  return cuda::launch_page_copy(launcher, params);
}

bool few_rows_product_on_host(const cuda::FewRowsParams& params, const testing::HostLauncher& launcher) {
  return params.blocks ? testing::few_block_rows_on_host(params, launcher)
                       : cuda::launch_few_rows_product(launcher, params);
}

bool rope_write_on_host(const cuda::RopeWriteParams& params, const testing::HostLauncher& launcher) {
  return cuda::launch_rope_write(launcher, params);
}

bool lora_gather_on_host(const cuda::LoraGatherParams& params, const testing::HostLauncher& launcher) {
  return cuda::launch_lora_gather(launcher, params);
}

}  // namespace powerhouse::pretended_device
