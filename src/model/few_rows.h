// Few rows by a plan's matrix: as a pass takes them, and as the decoder does in exact numerics.
#pragma once

#include "model/plan_parts.h"
#include "support/thread_team.h"

namespace powerhouse {

/// Some rows by some panels, as few rows are multiplied: by codes where the matrix is packed. `x` and `codes` are where
/// the first of the rows stands, `y` where it goes.
struct FewRows {
  const float* x = nullptr;
  std::int64_t x_stride = 0;
  cpu::QuantizedRows codes{};
  std::int64_t rows = 0;
  float* tile = nullptr;  // room for kPanelRows rows of a matrix of blocks
};
void multiply_few(const cpu::CpuKernels& kernels, const PlanMatrix& matrix, const FewRows& input, Range panels,
                  float* y, std::int64_t y_stride);

}  // namespace powerhouse
