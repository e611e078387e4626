#include "kernels/cuda/flash_forward_launch.h"

namespace powerhouse::cuda {

FlashForwardLaunch flash_forward_launch(int head_dim, Element type, bool modified) {
  if (head_dim <= 64) return flash_forward_launch<64>(type, modified);
  if (head_dim <= 96) return flash_forward_launch<96>(type, modified);
  if (head_dim <= 128) return flash_forward_launch<128>(type, modified);
  return flash_forward_launch<256>(type, modified);
}

}  // namespace powerhouse::cuda
