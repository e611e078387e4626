// A tensor's shape for a message: "[2, 3]".
#pragma once

#include <cstdint>
#include <span>
#include <string>

namespace powerhouse {

inline std::string shape_text(std::span<const std::int64_t> shape) {
  std::string text = "[";
  for (std::size_t i = 0; i < shape.size(); ++i) text += (i > 0 ? ", " : "") + std::to_string(shape[i]);
  return text + "]";
}

}  // namespace powerhouse
