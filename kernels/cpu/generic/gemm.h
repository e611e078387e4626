// y = x W^T + b for many rows of x, W in any format: a few panels of W at a time become a tile of x's type that stays
// in the second-level cache (gemm_tile.h), and every row of x is multiplied by it at the speed of plain numbers. Making
// the tile costs some ten instructions for what each row of x then reads with one.
//
// A row is summed in order of k, in blocks of kGemmDepth, whatever stands beside it.
#pragma once

#include <cstdint>

#include "kernels/cpu/generic/gemm_tile.h"
#include "kernels/cpu/kernels.h"

namespace powerhouse::cpu::POWERHOUSE_ISA_NAMESPACE {
namespace {

constexpr int kPanelVectors = static_cast<int>(kPanelRows) / kWidth;
// Sums of kGemmRows rows by kGemmPanels panels fill the registers, but for a panel's row and one of x.
constexpr int kGemmPanels = kRegisters == 32 && kPanelVectors == 1 ? 2 : 1;
constexpr int kGemmRows = (kRegisters - 1) / (kGemmPanels * kPanelVectors) - 1;
static_assert(kGemmPanels <= kGemmMaxPanels);

/// What is multiplied at once: `panels` panels from `feature` on, elements [k, k + depth).
template <typename Lane>
struct GemmBlock {
  const Lane* tile;
  const Lane* x;        // row 0, element k
  std::int64_t groups;  // of kPack elements
  std::int64_t feature;
  bool first;  // no sums in y yet
};

}  // namespace
}  // namespace powerhouse::cpu::POWERHOUSE_ISA_NAMESPACE

#ifdef POWERHOUSE_AMX
#include "kernels/cpu/generic/gemm_amx.h"
#endif

namespace powerhouse::cpu::POWERHOUSE_ISA_NAMESPACE {
namespace {

template <typename Lane, int kRows, int kPanels>
inline void gemm_rows(const GemmParams& params, const GemmBlock<Lane>& block, std::int64_t m) {
  constexpr int kPack = kGemmPack<Lane>;
  constexpr int kVectors = kPanels * kPanelVectors;
  float* const y = params.y + m * params.y_stride + block.feature;
  const std::int64_t columns = params.outputs - block.feature;
  const auto lanes_at = [&](int j) {
    return static_cast<int>(larger(0, smaller(columns - std::int64_t{j} * kWidth, kWidth)));
  };
  Vec sum[kRows][kVectors];
  for (int j = 0; j < kVectors; ++j) {
    const int count = lanes_at(j);
    for (int i = 0; i < kRows; ++i) {
      if (block.first && params.bias == nullptr) {
        sum[i][j] = zero();
        continue;
      }
      const float* const from = block.first ? params.bias + block.feature : y + i * params.y_stride;
      sum[i][j] = read(from + j * kWidth, count);
    }
  }
  const Lane* const x = block.x + m * params.x_stride;
  const Lane* tile = block.tile;
  for (std::int64_t group = 0; group < block.groups; ++group) {
    typename Dot<Lane>::Register weight[kVectors];
    for (int j = 0; j < kVectors; ++j) weight[j] = Dot<Lane>::read(tile + j * kWidth * kPack);
    tile += kVectors * kWidth * kPack;
    for (int i = 0; i < kRows; ++i) {
      const auto factor = Dot<Lane>::repeat(x + i * params.x_stride + group * kPack);
      for (int j = 0; j < kVectors; ++j) sum[i][j] = Dot<Lane>::accumulate(sum[i][j], factor, weight[j]);
    }
  }
  for (int j = 0; j < kVectors; ++j) {
    const int count = lanes_at(j);
    for (int i = 0; i < kRows; ++i) write(y + i * params.y_stride + j * kWidth, sum[i][j], count);
  }
}

template <typename Lane, int kPanels>
inline void gemm_block(const GemmParams& params, const GemmBlock<Lane>& block) {
  std::int64_t m = 0;
  for (; m + kGemmRows <= params.rows; m += kGemmRows) gemm_rows<Lane, kGemmRows, kPanels>(params, block, m);
  if constexpr (kGemmRows > 8) {
    if (m + 8 <= params.rows) gemm_rows<Lane, 8, kPanels>(params, block, m), m += 8;
  }
  if (m + 4 <= params.rows) gemm_rows<Lane, 4, kPanels>(params, block, m), m += 4;
  if (m + 2 <= params.rows) gemm_rows<Lane, 2, kPanels>(params, block, m), m += 2;
  if (m < params.rows) gemm_rows<Lane, 1, kPanels>(params, block, m);
}

#ifdef POWERHOUSE_AMX
template <int kPanels>
inline void gemm_block_of(const GemmParams& params, const GemmBlock<bfloat16>& block) {
  amx_block<kPanels>(params, block);
}
#endif
template <int kPanels, typename Lane>
inline void gemm_block_of(const GemmParams& params, const GemmBlock<Lane>& block) {
  gemm_block<Lane, kPanels>(params, block);
}

/// The tile of `count` panels side by side.
template <typename Lane>
inline void gemm_make_tile(const GemmParams& params, std::int64_t panel, std::int64_t count, std::int64_t k,
                           std::int64_t depth, Lane* tile) {
  constexpr std::int64_t kPanelLanes = kPanelRows * kGemmPack<Lane>;
  const std::int64_t step = count * kPanelLanes;
  for (std::int64_t i = 0; i < count; ++i, ++panel, tile += kPanelLanes) {
    if (params.bf16 != nullptr) {
      unpack_bf16_panel(*params.bf16, panel, params.inputs, k, depth, tile, step);
    } else if (params.layout != nullptr) {
      const auto* const units = static_cast<const std::uint8_t*>(params.weight) +
                                panel * panel_bytes(*params.layout, params.inputs) + panel_bytes(*params.layout, k);
      visit_packing(*params.layout, [&](auto packing) {
        unpack_panel<typename decltype(packing)::Type>(*params.layout, units, depth, tile, step);
      });
    } else {
      visit(params.weight_type, [&](auto tag) {
        using T = typename decltype(tag)::Type;
        const T* const rows = static_cast<const T*>(params.weight) + panel * kPanelRows * params.weight_stride + k;
        turn_rows(rows, params.weight_stride, params.outputs - panel * kPanelRows, depth, tile, step);
      });
    }
  }
}

template <typename Lane>
inline void gemm_of(const GemmParams& params, std::int64_t begin, std::int64_t end, Lane* tile) {
  constexpr std::int64_t kBlock = 16 * kGemmPack<Lane>;
  static_assert(kGemmPad % kBlock == 0);
  for (std::int64_t panel = begin; panel < end; panel += kGemmPanels) {
    const std::int64_t count = smaller(kGemmPanels, end - panel);
    for (std::int64_t k = 0; k < params.inputs; k += kGemmDepth) {
      const std::int64_t depth = smaller(kGemmDepth, params.inputs - k);
      gemm_make_tile(params, panel, count, k, depth, tile);
      const GemmBlock<Lane> block{.tile = tile,
                                  .x = static_cast<const Lane*>(params.x) + k,
                                  .groups = (depth + kBlock - 1) / kBlock * 16,
                                  .feature = panel * kPanelRows,
                                  .first = k == 0};
      if (count == kGemmPanels) {
        gemm_block_of<kGemmPanels>(params, block);
      } else {
        gemm_block_of<1>(params, block);
      }
    }
  }
}

void gemm(const GemmParams& params, std::int64_t begin, std::int64_t end, float* scratch) {
  float* const tile = on_cache_line(scratch);
#ifdef POWERHOUSE_DOT_BF16
  if (params.x_type == Element::bf16) return gemm_of(params, begin, end, reinterpret_cast<bfloat16*>(tile));
#endif
  gemm_of(params, begin, end, tile);
}

}  // namespace
}  // namespace powerhouse::cpu::POWERHOUSE_ISA_NAMESPACE
