// What the launches of flash attention's backward kernels for Hopper are made of.
#pragma once

#include "kernels/cuda/flash_attention/backward_row_launch.cuh"
#include "kernels/cuda/flash_attention/hopper_backward.cuh"

namespace powerhouse::cuda {

template <int kHeadDim, typename Element, typename Launch>
void launch_hopper_backward(const Launch& launch, const FlashBackwardParams& p, int multiprocessors) {
  using Tile = HopperBackwardTile<kHeadDim>;
  const FlashForwardParams& f = p.forward;
  const LaunchShape by_rows = by_query_rows(f, Tile::kRows, Tile::kThreads, Tile::kRows * kHeadDim * 2);
  // Instead of sums of their own, slices would add to them in order: all blocks can, in turn, and the second of the
  // slices' sums has room to count the turns.
  FlashBackwardParams params = p;
  const bool in_turn = p.slices > 1;
  if (in_turn) params.slices = 0;
  HopperBackwardPlan plan(params, false);
  const std::int64_t sums = f.heads * plan.tiles * Tile::kRows * (2 + kHeadDim);
  if (in_turn) plan.turns = reinterpret_cast<int*>(p.workspace + sums);
  const std::int64_t blocks = key_blocks(params, Tile::kBlockN);
  plan.blocks = static_cast<int>(blocks);
  plan.key_stride = plan.blocks * Tile::kBlockN;
  // Two blocks for each multiprocessor, so that in the last round the short walks fill what the long ones leave.
  if (f.window_right >= 0 && blocks > 0) plan.together = static_cast<int>(divide_up(2 * multiprocessors, blocks));

  launch_backward_prepare<kHeadDim, Element>(launch, by_rows, plan);
  launch({.grid_x = blocks * f.kv_heads * f.batch, .block_x = Tile::kThreads, .shared_bytes = Tile::kSharedBytes},
         hopper_backward_kernel<kHeadDim, Element>, plan);
  launch(by_rows, hopper_backward_finish_kernel<kHeadDim, Element>, plan);
}

template <int kHeadDim, typename Launch>
void launch_hopper_backward(const Launch& launch, const FlashBackwardParams& p, int multiprocessors) {
  if (p.forward.type == Element::bf16) {
    launch_hopper_backward<kHeadDim, bfloat16>(launch, p, multiprocessors);
  } else {
    launch_hopper_backward<kHeadDim, float16>(launch, p, multiprocessors);
  }
}

}  // namespace powerhouse::cuda
