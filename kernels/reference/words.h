// Four bytes at a time: the elements of a quad, which packing moves together.
#pragma once

#include <cstdint>
#include <cstring>

namespace powerhouse {

static inline std::uint32_t load_word(const std::uint8_t* bytes) {
  std::uint32_t word;
  std::memcpy(&word, bytes, sizeof word);
  return word;
}

static inline void store_word(std::uint8_t* bytes, std::uint32_t word) { std::memcpy(bytes, &word, sizeof word); }

}  // namespace powerhouse
