// How a product of up to eight rows with a weight of blocks is cut: warps of a block, blocks of a multiprocessor, what
// lies where in shared memory.
//
// What follows for a row's bits, the number of warps that share the inputs, follows from the weight and the device
// alone.
#pragma once

#include "kernels/cuda/few_rows_tiles.cuh"
#include "kernels/cuda/product_shape.h"

namespace powerhouse::cuda {

struct FewBlockPlan {
  FewRowsTiles tiles{};
  int chunks = 0, row_bytes = 0;
  int warps = 8, stages = 2, resident = 1;
  int prepared_at = 0, sums_at = 0, squares_at = 0, norm_at = 0;  ///< in shared memory, bytes
  int x_at = 0;                                                   ///< 0: x is read where it is
  std::int64_t x_stride = 0;                                      ///< elements, of x where it is read by all
  int bytes = 0;                                                  ///< of shared memory
};

inline constexpr int kFewLeastStages = 2, kFewMostStages = 4;

/// Twice as many warps where each still has a chunk, half as many where shared memory is small.
template <BlockFormat kFormat>
constexpr int few_block_warps(int chunks, int shared_bytes) {
  using Shape = FewBlockRowsShape<kFormat>;
  int warps = chunks >= kFewMostWarps ? kFewMostWarps : kFewMostWarps / 2;
  while (warps > 1 && Shape::shared_bytes(warps, kFewLeastStages) > shared_bytes) warps /= 2;
  return warps;
}

/// False where shared memory has no room for normed rows.
template <BlockFormat kFormat>
bool plan_few_block_rows(const FewRowsParams& p, FewBlockPlan& plan) {
  using Shape = FewBlockRowsShape<kFormat>;
  plan.tiles = few_rows_tiles(p);
  plan.chunks = static_cast<int>(divide_up(p.inputs, kFewChunk));
  plan.row_bytes = static_cast<int>(p.inputs / block_info(kFormat).block_elements * block_info(kFormat).block_bytes);
  plan.warps = few_block_warps<kFormat>(plan.chunks, p.shared_bytes);
  const std::int64_t row = p.rows > 1 ? divide_up(p.inputs * 2, 128) * 128 + Shape::kRowOffset : p.inputs * 2;
  const std::int64_t norm_bytes = p.normed && p.norm_weight != nullptr ? p.inputs * 2 : 0;
  const std::int64_t x_bytes = p.rows * row + norm_bytes;
  // Two blocks of half the warps are one of all, but each has a share of shared memory, 1 KiB of which is the system's.
  constexpr int kOfSystem = 1 << 10;
  const int half = (p.shared_bytes + kOfSystem) / 2 - kOfSystem;
  const int fixed = Shape::shared_bytes(plan.warps, kFewLeastStages);
  bool x_shared = true;
  int room = p.shared_bytes;
  if (plan.warps < kFewMostWarps && fixed + x_bytes <= half) {
    room = half;
  } else if (!p.normed && plan.warps < kFewMostWarps && fixed <= half) {
    room = half;
    x_shared = false;
  } else if (fixed + x_bytes > room) {
    if (p.normed) return false;
    x_shared = false;
  }
  plan.resident = room == half ? 2 : 1;
  plan.stages = kFewLeastStages;
  while (plan.stages < kFewMostStages &&
         Shape::shared_bytes(plan.warps, plan.stages + 1) + (x_shared ? x_bytes : 0) <= room) {
    ++plan.stages;
  }
  plan.prepared_at = Shape::kTableBytes + plan.warps * plan.stages * Shape::kStageBytes;
  plan.sums_at = plan.prepared_at + plan.warps * Shape::kPreparedBytes;
  plan.squares_at = plan.sums_at + 2 * plan.warps * Shape::kSumFloats * 4;
  plan.norm_at = Shape::shared_bytes(plan.warps, plan.stages);
  plan.x_at = x_shared ? plan.norm_at + static_cast<int>(norm_bytes) : 0;
  plan.x_stride = x_shared ? row / 2 : p.x_stride;
  plan.bytes = plan.norm_at + static_cast<int>(x_shared ? x_bytes : 0);
  return true;
}

}  // namespace powerhouse::cuda
