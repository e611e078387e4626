// The integers inside one block of 256 elements of a file: codes, scales and minima, for packing. Layouts as in
// dequantize.cpp.
#pragma once

#include "kernels/common/blocks.h"

namespace powerhouse {

struct BlockParts {
  std::uint8_t codes[256];  ///< not yet shifted by the layout's offset
  std::uint16_t d, m;       ///< f16 bits; m with the sign with which it is added
  std::int8_t scales[16];   ///< by group
  std::uint8_t mins[16];
};

/// For the formats of packed_layout() that have two levels.
void split_block(BlockFormat format, const std::uint8_t* block, BlockParts& parts) noexcept;

}  // namespace powerhouse
