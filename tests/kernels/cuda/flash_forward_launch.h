// How to launch flash attention's forward kernel of a tile's head size: each is compiled in a file of its own.
#pragma once

#include <cstddef>

#include "kernels/common/element.h"
#include "kernels/cuda/flash_attention/params.h"

namespace powerhouse::cuda {

struct FlashForwardLaunch {
  int rows = 0;  // of queries, a block
  int keys = 0;  // of a tile
  int threads = 0;
  std::size_t shared_bytes = 0;
  void (*kernel)(FlashForwardParams) = nullptr;
};

template <int kHeadDim>
FlashForwardLaunch flash_forward_launch(Element type, bool modified);

/// Of the smallest tile that holds the head size.
FlashForwardLaunch flash_forward_launch(int head_dim, Element type, bool modified);

}  // namespace powerhouse::cuda
