// Packing bf16 rows into panels (kernels/common/packed_bf16.h) and back.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/common/packed_bf16.h"

namespace powerhouse {

/// Packs sixteen rows of `inputs` bf16 (null: zeros), a multiple of kBf16Unit, and adds what does not fit to
/// `outliers`.
void pack_bf16_panel(const std::uint16_t* const* rows, std::int64_t inputs, void* panel,
                     std::vector<Bf16Outlier>& outliers);

/// The bits of one row of a panel of a matrix.
void unpack_bf16_row(const Bf16Panels& matrix, std::int64_t panel, std::int64_t row, std::int64_t inputs,
                     std::uint16_t* bits);

}  // namespace powerhouse
