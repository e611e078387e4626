// In place of instances/hopper_*.cu where the kernels are not built for Hopper.
#include "kernels/cuda/flash_attention/launchers.h"

namespace powerhouse::cuda {

bool hopper_forward(Constant<64>, const FlashForwardParams&, const HopperDevice&, Stream) { return false; }
bool hopper_forward(Constant<128>, const FlashForwardParams&, const HopperDevice&, Stream) { return false; }
bool hopper_forward(Constant<256>, const FlashForwardParams&, const HopperDevice&, Stream) { return false; }
bool hopper_backward(Constant<64>, const FlashBackwardParams&, const HopperDevice&, Stream) { return false; }
bool hopper_backward(Constant<128>, const FlashBackwardParams&, const HopperDevice&, Stream) { return false; }
bool hopper_backward(Constant<256>, const FlashBackwardParams&, const HopperDevice&, Stream) { return false; }

}  // namespace powerhouse::cuda
