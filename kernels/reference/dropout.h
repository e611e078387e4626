// Dropout by Philox4x32-10: the definition.
#pragma once

#include "kernels/cpu/kernels.h"

namespace powerhouse::reference {

/// The block whose counter is `words`, in its place.
static inline void philox(std::uint32_t words[4], const std::uint32_t key[2]) {
  for (std::uint32_t round = 0; round < 10; ++round) {
    const std::uint64_t product0 = std::uint64_t{0xD2511F53u} * words[0];
    const std::uint64_t product1 = std::uint64_t{0xCD9E8D57u} * words[2];
    words[0] = static_cast<std::uint32_t>(product1 >> 32) ^ words[1] ^ (key[0] + round * 0x9E3779B9u);
    words[1] = static_cast<std::uint32_t>(product1);
    words[2] = static_cast<std::uint32_t>(product0 >> 32) ^ words[3] ^ (key[1] + round * 0xBB67AE85u);
    words[3] = static_cast<std::uint32_t>(product0);
  }
}

static inline void dropout(const cpu::DropoutParams& params, std::int64_t begin, std::int64_t end) {
  const std::int64_t blocks = (params.columns + 7) / 8;
  for (std::int64_t row = begin; row < end; ++row) {
    for (std::int64_t column = 0; column < params.columns; ++column) {
      const std::uint64_t counter = params.counter + static_cast<std::uint64_t>(row * blocks + column / 8);
      std::uint32_t words[4] = {static_cast<std::uint32_t>(counter), static_cast<std::uint32_t>(counter >> 32),
                                params.lane, params.stream};
      philox(words, params.key);
      const std::uint32_t word = words[column % 8 / 2] >> (column % 2 * 16) & 0xFFFFu;
      const float factor = word >= params.threshold ? params.kept : 0.0f;
      write_element(params.y, params.type, row * params.y_stride + column,
                    factor * read_element(params.x, params.type, row * params.x_stride + column));
    }
  }
}

}  // namespace powerhouse::reference
