#include "kernels/cuda/flash_backward_launch.h"
#include "kernels/cuda/planted/flash_backward_planted.h"

namespace powerhouse {

const int testing::kPlantedHeadDim = 128;

void cuda::flash_backward_on_host(const testing::HostLauncher& launcher, const FlashBackwardParams& params) {
  flash_backward_on_host<testing::kPlantedHeadDim>(launcher, params);
}

}  // namespace powerhouse
