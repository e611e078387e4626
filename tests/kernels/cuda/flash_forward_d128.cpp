#include "kernels/cuda/flash_forward_instance.h"

namespace powerhouse::cuda {
template FlashForwardLaunch flash_forward_launch<128>(Element type, bool modified);
}
