// What flash attention's backward launches by rows of queries before its main kernel, and how that is cut along keys:
// the same for the kernel of all GPUs and for Hopper's.
#pragma once

#include "kernels/cuda/flash_attention/backward_rows.cuh"
#include "kernels/cuda/launch_shape.h"

namespace powerhouse::cuda {

inline LaunchShape by_query_rows(const FlashForwardParams& f, int rows, unsigned threads, std::int64_t shared_bytes) {
  return {.grid_x = divide_up(f.queries, rows),
          .grid_y = f.heads,
          .grid_z = f.batch,
          .block_x = threads,
          .shared_bytes = shared_bytes};
}

/// Blocks that share a head's tiles of keys.
inline std::int64_t key_blocks(const FlashBackwardParams& p, int tile_keys) {
  const std::int64_t tiles = divide_up(p.forward.keys, tile_keys);
  return p.slices > 0 && p.slices < tiles ? p.slices : tiles;
}

template <int kHeadDim, typename Element, typename Launch>
void launch_backward_prepare(const Launch& launch, const LaunchShape& by_rows, const FlashBackwardPlan& plan) {
  launch(by_rows, flash_backward_prepare_kernel<kHeadDim, Element>, plan);
  if (plan.params.dsinks == nullptr) return;
  launch({.grid_x = plan.params.forward.heads, .block_x = by_rows.block_x, .shared_bytes = kRowScratch * 4},
         flash_backward_sinks_kernel<kHeadDim>, plan);
}

}  // namespace powerhouse::cuda
