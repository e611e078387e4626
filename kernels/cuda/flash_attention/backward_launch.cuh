// What the launches of flash attention's backward kernels are made of.
#pragma once

#include "kernels/cuda/flash_attention/backward.cuh"
#include "kernels/cuda/flash_attention/backward_rows.cuh"
#include "kernels/cuda/launch_shape.h"

namespace powerhouse::cuda {

template <int kHeadDim, typename Element, typename Launch>
void launch_flash_backward(const Launch& launch, const FlashBackwardParams& p) {
  using Tile = FlashBackwardTile<kHeadDim>;
  const FlashForwardParams& f = p.forward;
  const LaunchShape by_rows{.grid_x = divide_up(f.queries, Tile::kBlockM),
                            .grid_y = f.heads,
                            .grid_z = f.batch,
                            .block_x = Tile::kThreads,
                            .shared_bytes = Tile::kQueryBytes};
  LaunchShape by_keys = by_rows;
  by_keys.grid_x = divide_up(f.keys, Tile::kBlockN);
  if (p.slices > 0 && p.slices < by_keys.grid_x) by_keys.grid_x = p.slices;
  by_keys.grid_y = f.kv_heads;
  by_keys.shared_bytes = Tile::kSharedBytes;
  const bool modified = f.softcap != 0.0f || f.alibi_slopes != nullptr || f.dropout.threshold != 0;

  launch(by_rows, flash_backward_prepare_kernel<kHeadDim, Element>, p);
  if (p.dsinks != nullptr) {
    launch({.grid_x = f.heads, .block_x = Tile::kThreads, .shared_bytes = kRowScratch * 4},
           flash_backward_sinks_kernel<kHeadDim>, p);
  }
  launch(by_keys,
         modified ? flash_backward_kernel<kHeadDim, Element, true> : flash_backward_kernel<kHeadDim, Element, false>,
         p);
  launch(by_rows, flash_backward_finish_kernel<kHeadDim, Element>, p);
}

template <int kHeadDim, typename Launch>
void launch_flash_backward(const Launch& launch, const FlashBackwardParams& p) {
  if (p.forward.type == Element::bf16) {
    launch_flash_backward<kHeadDim, bfloat16>(launch, p);
  } else {
    launch_flash_backward<kHeadDim, float16>(launch, p);
  }
}

}  // namespace powerhouse::cuda
