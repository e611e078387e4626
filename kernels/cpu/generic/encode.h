// Rows of float32 as blocks: the formats that vectors speed up, and the reference for the others.
#pragma once

#include "kernels/cpu/generic/encode_grids.h"
#include "kernels/cpu/generic/encode_k.h"
#include "kernels/cpu/generic/encode_legacy.h"
#include "kernels/cpu/generic/encode_levels.h"
#include "kernels/cpu/kernels.h"
#include "kernels/reference/encode.h"

namespace powerhouse::cpu::POWERHOUSE_ISA_NAMESPACE {
namespace {

inline void encode_plainly(const EncodeParams& params, std::int64_t begin, std::int64_t end) {
  const BlockInfo info = block_info(params.format);
  const std::int64_t row_bytes = params.columns / info.block_elements * info.block_bytes;
  const GridEncodeFunction iq1 = ternary_grid_encoder(params.format);
  const GridEncodeFunction grid = iq1 != nullptr ? iq1 : grid_encoder(params.format);
  for (std::int64_t row = begin; row < end; ++row) {
    const float* const x = params.rows + row * params.columns;
    auto* const blocks = static_cast<std::uint8_t*>(params.blocks) + row * row_bytes;
    params.failed[row] = !(grid != nullptr ? grid(x, params.importance, params.columns, blocks, nearest_point)
                                           : encode_row(params.format, x, params.importance, params.columns, blocks));
  }
}

void encode(const EncodeParams& params, std::int64_t begin, std::int64_t end) {
  const BlockInfo info = block_info(params.format);
  const GroupRun run{.x = params.rows + begin * params.columns,
                     .importance = params.importance,
                     .columns = params.columns,
                     .group = 32,
                     .groups = (end - begin) * params.columns / 32};
  auto* const blocks =
      static_cast<std::uint8_t*>(params.blocks) + begin * (params.columns / info.block_elements) * info.block_bytes;
  switch (params.format) {
    case BlockFormat::q4_0:
    case BlockFormat::q4_1:
    case BlockFormat::q5_0:
    case BlockFormat::q5_1:
    case BlockFormat::q8_0: encode_legacy(params, run, blocks); break;
    case BlockFormat::q2_k:
    case BlockFormat::q3_k:
    case BlockFormat::q4_k:
    case BlockFormat::q5_k:
    case BlockFormat::q6_k: encode_k(params, begin, end); break;
    case BlockFormat::iq4_nl: encode_iq4_nl(run, blocks); break;
    case BlockFormat::iq4_xs: encode_iq4_xs(run, blocks); break;
    default: return encode_plainly(params, begin, end);
  }
  for (std::int64_t row = begin; row < end; ++row) params.failed[row] = false;
}

}  // namespace
}  // namespace powerhouse::cpu::POWERHOUSE_ISA_NAMESPACE
