// Block formats to float32: the definition that every other kernel is held to, bit-exact with the gguf package.
#pragma once

#include <cstdint>

#include "kernels/common/blocks.h"

namespace powerhouse {

/// Whether `dequantize_row` knows the format.
bool can_dequantize(BlockFormat format) noexcept;

/// Writes `elements` floats; a multiple of the format's block. `source` needs no alignment.
void dequantize_row(BlockFormat format, const void* source, float* destination, std::int64_t elements) noexcept;

}  // namespace powerhouse
