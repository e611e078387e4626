// gemm's block by AMX: two by two tiles of sums, 32 rows of x by two panels, 32 elements a step. The weights' tile lies
// as the instruction wants it. The rows that are left over have smaller tiles: every row takes the same steps.
#pragma once

#include <cstdint>
#include <cstring>

#include "kernels/cpu/generic/math.h"
#include "kernels/cpu/kernels.h"
#include "kernels/cpu/vec/amx.h"

namespace powerhouse::cpu::POWERHOUSE_ISA_NAMESPACE {
namespace {

constexpr int kAmxRows = 16;  // rows, and lanes

/// Tiles 0 to 3: sums of the upper rows by both panels, then of the lower; 4, 5: rows of x; 6, 7: weights.
inline void configure_tiles(std::int64_t rows) {
  TileConfig config;
  const auto upper = static_cast<std::uint8_t>(smaller(rows, kAmxRows));
  const auto lower = static_cast<std::uint8_t>(rows - upper);
  const std::uint8_t counts[8] = {upper, upper, lower, lower, upper, lower, kAmxRows, kAmxRows};
  for (int i = 0; i < 8; ++i) {
    config.rows[i] = counts[i];
    config.bytes[i] = counts[i] > 0 ? 64 : 0;
  }
  load_tile_config(config);
}

/// Where sums are read and written: y itself, or a copy where the last panel has fewer features.
struct AmxSums {
  float* to;
  std::int64_t stride;
};

template <int kPanels>
inline void amx_multiply(const bfloat16* x, std::int64_t x_stride, const bfloat16* tile, std::int64_t groups,
                         bool lower, bool begin, AmxSums sums) {
  // g++ 12 does not know that tiles are loaded from memory: what was written to it must be there.
  __asm__ volatile("" ::: "memory");
  const std::int64_t bytes = sums.stride * 4;
  float* const low = sums.to + kAmxRows * sums.stride;
  if (begin) {
    _tile_zero(0);
    if constexpr (kPanels == 2) _tile_zero(1);
    if (lower) {
      _tile_zero(2);
      if constexpr (kPanels == 2) _tile_zero(3);
    }
  } else {
    _tile_loadd(0, sums.to, bytes);
    if constexpr (kPanels == 2) _tile_loadd(1, sums.to + kAmxRows, bytes);
    if (lower) {
      _tile_loadd(2, low, bytes);
      if constexpr (kPanels == 2) _tile_loadd(3, low + kAmxRows, bytes);
    }
  }
  constexpr std::int64_t kStep = kPanels * 2 * kAmxRows;  // elements from group to group
  for (std::int64_t group = 0; group < groups; group += kAmxRows) {
    const bfloat16* const weight = tile + group * kStep;
    _tile_loadd(4, x + 2 * group, x_stride * 2);
    _tile_loadd(6, weight, kStep * 2);
    _tile_dpbf16ps(0, 4, 6);
    if constexpr (kPanels == 2) {
      _tile_loadd(7, weight + 2 * kAmxRows, kStep * 2);
      _tile_dpbf16ps(1, 4, 7);
    }
    if (lower) {
      _tile_loadd(5, x + kAmxRows * x_stride + 2 * group, x_stride * 2);
      _tile_dpbf16ps(2, 5, 6);
      if constexpr (kPanels == 2) _tile_dpbf16ps(3, 5, 7);
    }
  }
  _tile_stored(0, sums.to, bytes);
  if constexpr (kPanels == 2) _tile_stored(1, sums.to + kAmxRows, bytes);
  if (lower) {
    _tile_stored(2, low, bytes);
    if constexpr (kPanels == 2) _tile_stored(3, low + kAmxRows, bytes);
  }
}

template <int kPanels>
inline void amx_block(const GemmParams& params, const GemmBlock<bfloat16>& block) {
  constexpr std::int64_t kColumns = kPanels * kAmxRows;
  const std::int64_t columns = smaller(params.outputs - block.feature, kColumns);
  alignas(64) float copy[2 * kAmxRows * kColumns];
  std::int64_t configured = 0;
  for (std::int64_t m = 0; m < params.rows; m += 2 * kAmxRows) {
    const std::int64_t rows = smaller(params.rows - m, 2 * kAmxRows);
    if (rows != configured) configure_tiles(rows);
    configured = rows;
    float* const y = params.y + m * params.y_stride + block.feature;
    const bool in_place = columns == kColumns;
    const AmxSums sums = in_place ? AmxSums{y, params.y_stride} : AmxSums{copy, kColumns};
    const bool begin = block.first && params.bias == nullptr;
    for (std::int64_t i = 0; !begin && (block.first || !in_place) && i < rows; ++i) {
      const float* const from = block.first ? params.bias + block.feature : y + i * params.y_stride;
      std::memcpy(sums.to + i * sums.stride, from, static_cast<std::size_t>(columns) * sizeof(float));
    }
    amx_multiply<kPanels>(block.x + m * params.x_stride, params.x_stride, block.tile, block.groups, rows > kAmxRows,
                          begin, sums);
    for (std::int64_t i = 0; !in_place && i < rows; ++i) {
      std::memcpy(y + i * params.y_stride, copy + i * kColumns, static_cast<std::size_t>(columns) * sizeof(float));
    }
  }
  release_tiles();
}

}  // namespace
}  // namespace powerhouse::cpu::POWERHOUSE_ISA_NAMESPACE
