// Numbers to run a kernel on.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/common/element.h"

/// `count` elements of `type` between -1.5 and 1.5.
inline std::vector<std::uint8_t> values_of(std::int64_t count, powerhouse::Element type) {
  std::vector<std::uint8_t> bytes(count * powerhouse::element_bytes(type));
  for (std::int64_t i = 0; i < count; ++i) {
    powerhouse::write_element(bytes.data(), type, i, static_cast<float>(i % 31) * 0.1f - 1.5f);
  }
  return bytes;
}
