// What a launch of Hopper's kernel asks of the device.
#pragma once

#include <cstdint>

namespace powerhouse::cuda {

struct HopperDevice {
  int multiprocessors = 0;
  std::int64_t cached_bytes = 0;  ///< of keys and values that stay in the second cache while they are read again
};

}  // namespace powerhouse::cuda
