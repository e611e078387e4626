// float32 rows to the block formats of GGUF: the bytes that llama.cpp's quantizers write, and with them its search for
// the scales. Every other encoder is held to this one.
//
// Sums run over a group's elements in their order, one rounding an operation, as in ggml's generic build; ggml built
// with fused multiply-adds may choose another scale where two are equally good to the last bit. docs/quantization.md
// says what each format searches for.
#pragma once

#include <cstdint>

#include "kernels/common/blocks.h"
#include "kernels/reference/encode_lattice.h"

namespace powerhouse {

/// Whether `encode_row` knows the format: F32, F16, BF16 and all of GGUF's block types.
bool can_encode(BlockFormat format) noexcept;

/// Whether the importance of columns changes what is written, and whether there is no format without it.
bool reads_importance(BlockFormat format) noexcept;
bool needs_importance(BlockFormat format) noexcept;

/// Writes the blocks of one row of `columns` elements, a multiple of the format's block. `importance` weighs the
/// squared error of each column: [columns], finite and not negative, or null. The row is finite. False where the search
/// finds nothing, because squares leave float32's range (values beyond about 1e18 in i-quants): `blocks` then hold no
/// meaning.
bool encode_row(BlockFormat format, const float* row, const float* importance, std::int64_t columns,
                void* blocks) noexcept;

/// What makes a format's blocks, by its kind; null for formats of another kind.
using EncodeFunction = bool (*)(const float* row, const float* importance, std::int64_t columns, std::uint8_t* blocks);
EncodeFunction plain_encoder(BlockFormat format) noexcept;  // legacy, ternary, microscaling, floats
EncodeFunction k_encoder(BlockFormat format) noexcept;      // Q2_K ... Q8_K, IQ4

/// IQ1, IQ2 and IQ3, with a function that finds points of their grids (encoding::nearest_point, or one as good).
using GridEncodeFunction = bool (*)(const float* row, const float* importance, std::int64_t columns,
                                    std::uint8_t* blocks, encoding::NearestPoint nearest);
GridEncodeFunction grid_encoder(BlockFormat format) noexcept;          // IQ2, IQ3
GridEncodeFunction ternary_grid_encoder(BlockFormat format) noexcept;  // IQ1

}  // namespace powerhouse
