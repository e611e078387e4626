// Numbers at any place of a block, aligned or not.
#pragma once

#include <cstdint>
#include <cstring>

#include "kernels/common/float16.h"

namespace powerhouse {

template <typename T>
T load(const std::uint8_t* bytes) {
  T value;
  std::memcpy(&value, bytes, sizeof value);
  return value;
}

inline float half(const std::uint8_t* bytes) { return to_float(load<float16>(bytes)); }

}  // namespace powerhouse
