#include "kernels/cuda/flash_forward_instance.h"

namespace powerhouse::cuda {
template FlashForwardLaunch flash_forward_launch<64>(Element type, bool modified);
}
