// Steps of optimizers over many parameters at once: a table in the device's memory, cut into chunks of one size, since
// a launch a parameter would take longer than its work.
#pragma once

#include <cstdint>

#include "kernels/cpu/optimizer_params.h"

namespace powerhouse::cuda {

/// Elements of a block of threads.
inline constexpr std::int64_t kUpdateChunk = 4096;

struct UpdateItem {
  cpu::UpdateParams params{};  ///< states are numbers; for sums of squares `type` and `gradient` alone
  std::int64_t elements = 0;
  std::int64_t first_chunk = 0;  ///< those of the items before it
};

struct UpdateTable {
  const UpdateItem* items = nullptr;  ///< in the device's memory
  int count = 0;
  std::int64_t chunks = 0;  ///< of all items
};

/// sums[i] = the sum of the squares of item i's gradient in float64, added in an order that no run changes.
struct SumSquaresParams {
  UpdateTable table{};
  double* parts = nullptr;  ///< [chunks]
  double* sums = nullptr;   ///< [count]
};

}  // namespace powerhouse::cuda
