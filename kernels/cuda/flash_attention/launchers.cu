#include "kernels/cuda/flash_attention/launchers.h"

namespace powerhouse::cuda {

bool flash_forward(const FlashForwardParams& params, Stream stream) {
  if (!flash_fits(params)) return false;
  return visit_flash_tile(params.head_dim, [&](auto tile) { flash_forward(tile, params, stream); });
}

bool flash_backward(const FlashBackwardParams& params, Stream stream) {
  if (!flash_fits(params.forward)) return false;
  return visit_flash_tile(params.forward.head_dim, [&](auto tile) { flash_backward(tile, params, stream); });
}

}  // namespace powerhouse::cuda
