#include "kernels/cuda/flash_backward_instance.h"

namespace powerhouse::cuda {
template void flash_backward_on_host<256>(const testing::HostLauncher& launcher, const FlashBackwardParams& params);
}
