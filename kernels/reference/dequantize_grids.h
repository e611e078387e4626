// Blocks of the formats that are read by a grid or by powers of three: i-quants, ternary and microscaling types.
#pragma once

#include "kernels/common/blocks.h"

namespace powerhouse {

using BlockFunction = void (*)(const std::uint8_t* block, float* out);

/// One block of such a format; null for other formats.
BlockFunction grid_block_function(BlockFormat format) noexcept;

}  // namespace powerhouse
