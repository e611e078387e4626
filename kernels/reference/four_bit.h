// Quantization as bitsandbytes 0.50 does it on a CPU, to the byte: 4-bit codes with a scale a block, and the 8-bit
// dynamic type (Dettmers 2015, arXiv 1511.04561) that double quantization packs those scales with.
#pragma once

#include <cstdint>

#include "kernels/common/four_bit.h"

namespace powerhouse {

/// Codes of `count` values, two a byte, the first in the high half; a last odd one stands alone. `absmax`: the largest
/// magnitude of each `block_size` values. An even `block_size` lets callers take the blocks apart.
void quantize_four_bit(FourBit kind, const float* values, std::int64_t count, std::int64_t block_size,
                       std::uint8_t* codes, float* absmax) noexcept;

/// The 256 values of the dynamic type, in their order: seven decades from 1e-7 to 1, of which each halves the parts
/// that the next larger one is cut into, and a value is the middle of a part; zero and one. The unsigned type has twice
/// the parts in the place of negative values.
void dynamic_map(float* values, bool with_sign) noexcept;

/// Codes of the signed dynamic type, one a byte, and the scale of each `block_size` of them.
void quantize_dynamic(const float* values, std::int64_t count, std::int64_t block_size, std::uint8_t* codes,
                      float* absmax) noexcept;

}  // namespace powerhouse
