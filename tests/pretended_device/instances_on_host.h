// Launchers on the CPU of which only some instances are compiled, since all take long: attention for heads of at most
// 32 (over pages 64), products of many rows for the formats of GGUF without super-blocks.
#pragma once

#include "kernels/cuda/few_rows_product_params.h"
#include "kernels/cuda/flash_attention/backward_params.h"
#include "kernels/cuda/lora_gather_params.h"
#include "kernels/cuda/paged_attention_params.h"
#include "kernels/cuda/quantized_product_params.h"
#include "kernels/cuda/rope_write_params.h"
#include "kernels/cuda_rows/on_host.h"

namespace powerhouse::pretended_device {

bool flash_forward_on_host(const cuda::FlashForwardParams& params, const testing::HostLauncher& launcher);
bool flash_backward_on_host(const cuda::FlashBackwardParams& params, const testing::HostLauncher& launcher);
bool paged_attention_on_host(const cuda::PagedAttentionParams& params, const testing::HostLauncher& launcher);
bool paged_write_on_host(const cuda::PagedWriteParams& params, const testing::HostLauncher& launcher);
bool paged_gather_on_host(const cuda::PagedGatherParams& params, const testing::HostLauncher& launcher);
bool product_on_host(const cuda::QuantizedProductParams& params, const testing::HostLauncher& launcher);
bool page_copy_on_host(const cuda::PageCopyParams& params, const testing::HostLauncher& launcher);
bool few_rows_product_on_host(const cuda::FewRowsParams& params, const testing::HostLauncher& launcher);
bool rope_write_on_host(const cuda::RopeWriteParams& params, const testing::HostLauncher& launcher);
bool lora_gather_on_host(const cuda::LoraGatherParams& params, const testing::HostLauncher& launcher);

}  // namespace powerhouse::pretended_device
