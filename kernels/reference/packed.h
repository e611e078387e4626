// Packing of block-quantized rows into panels (kernels/common/packed.h), and back.
#pragma once

#include "kernels/common/packed.h"

namespace powerhouse {

/// How a format is packed; null where it is not.
const PackedLayout* packed_layout(BlockFormat format) noexcept;

/// Packs `inputs` elements of sixteen rows of blocks, a multiple of the format's block; null rows become zeros.
/// `panel` has panel_bytes(layout, inputs) bytes.
void pack_panel(const PackedLayout& layout, const void* const* rows, std::int64_t inputs, void* panel) noexcept;

/// The values of one row of a panel, with the bits of dequantize_row.
void unpack_row(const PackedLayout& layout, const void* panel, std::int64_t row, std::int64_t inputs,
                float* values) noexcept;

}  // namespace powerhouse
