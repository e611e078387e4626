// What a launch of flash attention's forward kernel is made of.
#pragma once

#include "kernels/cuda/flash_attention/forward.cuh"
#include "kernels/cuda/launch_shape.h"

namespace powerhouse::cuda {

template <int kHeadDim, typename Launch>
void launch_flash_forward(const Launch& launch, const FlashForwardParams& p) {
  using Tile = FlashForwardTile<kHeadDim>;
  const LaunchShape shape{.grid_x = divide_up(p.queries, Tile::kBlockM),
                          .grid_y = p.heads,
                          .grid_z = p.batch,
                          .block_x = Tile::kThreads,
                          .shared_bytes = Tile::kSharedBytes};
  const bool modified = p.softcap != 0.0f || p.alibi_slopes != nullptr || p.dropout.threshold != 0;
  if (p.type == Element::bf16) {
    launch(shape,
           modified ? flash_forward_kernel<kHeadDim, bfloat16, true> : flash_forward_kernel<kHeadDim, bfloat16, false>,
           p);
  } else {
    launch(shape,
           modified ? flash_forward_kernel<kHeadDim, float16, true> : flash_forward_kernel<kHeadDim, float16, false>,
           p);
  }
}

}  // namespace powerhouse::cuda
