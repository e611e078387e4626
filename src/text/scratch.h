// Scratch memory that a thread keeps from piece to piece.
#pragma once

#include <cstddef>
#include <vector>

namespace powerhouse {

/// Gives back what one giant piece needed.
template <typename... Items>
void give_back_if_large(std::vector<Items>&... buffers) {
  constexpr std::size_t kKept = 1 << 16;
  const auto give_back = [](auto& buffer) {
    if (buffer.capacity() > kKept) buffer = {};
  };
  (give_back(buffers), ...);
}

}  // namespace powerhouse
