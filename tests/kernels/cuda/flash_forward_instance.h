// The body of flash_forward_d<head size>.cpp.
#pragma once

#include "kernels/cuda/flash_attention/forward.cuh"
#include "kernels/cuda/flash_forward_launch.h"

namespace powerhouse::cuda {

template <int kHeadDim>
FlashForwardLaunch flash_forward_launch(Element type, bool modified) {
  using Tile = FlashForwardTile<kHeadDim>;
  FlashForwardLaunch launch{Tile::kBlockM, Tile::kBlockN, Tile::kThreads, Tile::kSharedBytes, nullptr};
  if (type == Element::bf16) {
    launch.kernel =
        modified ? flash_forward_kernel<kHeadDim, bfloat16, true> : flash_forward_kernel<kHeadDim, bfloat16, false>;
  } else {
    launch.kernel =
        modified ? flash_forward_kernel<kHeadDim, float16, true> : flash_forward_kernel<kHeadDim, float16, false>;
  }
  return launch;
}

}  // namespace powerhouse::cuda
