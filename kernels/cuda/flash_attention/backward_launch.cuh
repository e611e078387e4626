// What the launches of flash attention's backward kernels are made of.
#pragma once

#include "kernels/cuda/flash_attention/backward.cuh"
#include "kernels/cuda/flash_attention/backward_row_launch.cuh"

namespace powerhouse::cuda {

/// Tells the plan, too, how far apart a block's tiles of keys are.
template <typename Tile>
LaunchShape by_keys(const FlashBackwardParams& p, FlashBackwardPlan& plan) {
  const std::int64_t blocks = key_blocks(p, Tile::kBlockN);
  plan.key_stride = static_cast<int>(blocks) * Tile::kBlockN;
  return {.grid_x = blocks,
          .grid_y = p.forward.kv_heads,
          .grid_z = p.forward.batch,
          .block_x = Tile::kThreads,
          .shared_bytes = Tile::kSharedBytes};
}

template <int kHeadDim, typename Element, typename Launch>
void launch_flash_backward(const Launch& launch, const FlashBackwardParams& p) {
  using Tile = FlashBackwardTile<kHeadDim>;
  const FlashForwardParams& f = p.forward;
  const LaunchShape by_rows = by_query_rows(f, Tile::kBlockM, Tile::kThreads, Tile::kQueryBytes);
  const bool modified = f.softcap != 0.0f || f.alibi_slopes != nullptr || f.dropout.threshold != 0;
  FlashBackwardPlan plan(p, modified);

  launch_backward_prepare<kHeadDim, Element>(launch, by_rows, plan);
  if (modified) {
    const LaunchShape shape = by_keys<FlashBackwardTile<kHeadDim, true>>(p, plan);
    launch(shape, flash_backward_kernel<kHeadDim, Element, true>, plan);
  } else {
    const LaunchShape shape = by_keys<FlashBackwardTile<kHeadDim, false>>(p, plan);
    launch(shape, flash_backward_kernel<kHeadDim, Element, false>, plan);
  }
  launch(by_rows, flash_backward_finish_kernel<kHeadDim, Element>, plan);
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
