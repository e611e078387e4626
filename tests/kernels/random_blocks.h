// Blocks of every packed format with random codes and scales that are plain numbers.
#pragma once

#include <cstdint>
#include <cstring>
#include <random>
#include <vector>

#include "kernels/common/blocks.h"
#include "kernels/common/float16.h"

namespace powerhouse::testing {

inline constexpr BlockFormat kPackedFormats[] = {
    BlockFormat::q4_0,       BlockFormat::q4_1,        BlockFormat::q5_0,        BlockFormat::q5_1,
    BlockFormat::q8_0,       BlockFormat::iq4_nl,      BlockFormat::q2_k,        BlockFormat::q3_k,
    BlockFormat::q4_k,       BlockFormat::q5_k,        BlockFormat::q6_k,        BlockFormat::iq4_xs,
    BlockFormat::affine4_32, BlockFormat::affine4_64,  BlockFormat::affine4_128, BlockFormat::affine6_32,
    BlockFormat::affine6_64, BlockFormat::affine6_128, BlockFormat::affine8_32,  BlockFormat::affine8_64,
    BlockFormat::affine8_128};

/// Where the f16 scale and minimum of a block stand; -1: none.
inline std::pair<int, int> scale_places(BlockFormat format) {
  if (is_affine(format)) return {0, 2};
  switch (format) {
    case BlockFormat::q4_1:
    case BlockFormat::q5_1:
    case BlockFormat::q4_k:
    case BlockFormat::q5_k: return {0, 2};
    case BlockFormat::q2_k: return {80, 82};
    case BlockFormat::q3_k: return {108, -1};
    case BlockFormat::q6_k: return {208, -1};
    default: return {0, -1};
  }
}

inline std::vector<std::uint8_t> random_blocks(BlockFormat format, std::int64_t elements, std::mt19937& engine) {
  const BlockInfo info = block_info(format);
  std::vector<std::uint8_t> bytes(static_cast<std::size_t>(elements / info.block_elements * info.block_bytes));
  for (std::uint8_t& byte : bytes) byte = static_cast<std::uint8_t>(engine());
  const auto [scale, min] = scale_places(format);
  std::uniform_real_distribution<float> uniform(-0.01f, 0.01f);
  for (std::size_t block = 0; block < bytes.size(); block += static_cast<std::size_t>(info.block_bytes)) {
    for (const int place : {scale, min}) {
      if (place < 0 || place + 2 > info.block_bytes) continue;
      const bool zero = is_affine(format) && place == min;
      const auto value = rounded<float16>(zero ? static_cast<float>(engine() % 17) : uniform(engine));
      std::memcpy(bytes.data() + block + place, &value, 2);
    }
  }
  return bytes;
}

}  // namespace powerhouse::testing
