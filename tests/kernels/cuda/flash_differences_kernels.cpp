#include "kernels/cuda/flash_differences_kernels.h"

#include "kernels/cuda/flash_attention/backward_launch.cuh"
#include "kernels/cuda/flash_attention/forward.cuh"

namespace powerhouse::cuda {

using cuda_on_host::NamedFloat;

void float_flash_forward(const testing::HostLauncher& launcher, const FlashForwardParams& p) {
  using Tile = FlashForwardTile<32>;
  const bool modified = p.softcap != 0.0f || p.alibi_slopes != nullptr || p.dropout.threshold != 0;
  launcher({.grid_x = divide_up(p.queries, Tile::kBlockM),
            .grid_y = p.heads,
            .grid_z = p.batch,
            .block_x = Tile::kThreads,
            .shared_bytes = Tile::kSharedBytes},
           modified ? flash_forward_kernel<32, NamedFloat, true> : flash_forward_kernel<32, NamedFloat, false>, p);
}

void float_flash_backward(const testing::HostLauncher& launcher, const FlashBackwardParams& params) {
  launch_flash_backward<32, NamedFloat>(launcher, params);
}

}  // namespace powerhouse::cuda
