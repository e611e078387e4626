#include "kernels/cuda/flash_backward_launch.h"

#include "kernels/cuda/flash_attention/launchers.h"

namespace powerhouse::cuda {

void flash_backward_on_host(const testing::HostLauncher& launcher, const FlashBackwardParams& params) {
  visit_flash_backward_tile(params.forward.head_dim,
                            [&](auto tile) { flash_backward_on_host<decltype(tile)::kValue>(launcher, params); });
}

}  // namespace powerhouse::cuda
