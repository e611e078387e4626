// The best types for a size: each tensor has a choice of types with a size and a cost, and the sum of costs is to be
// small while the sum of sizes stays within a budget.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "kernels/common/blocks.h"
#include "quantization/source_model.h"

namespace powerhouse {

struct BudgetChoice {
  BlockFormat format = BlockFormat::f32;
  std::uint64_t bytes = 0;
  double cost = 0;
};

struct BudgetItem {
  std::string name{};
  std::vector<BudgetChoice> choices{};  ///< at least one, in any order
};

/// Which choice each item gets: from the smallest ones on, always the step that takes most cost for a byte of those
/// that still fit. On each item's lower convex hull that is the best there is but for the last step (the Lagrangian
/// bound of the multiple-choice knapsack). Error{range} where the smallest choices do not fit.
std::vector<std::size_t> allocate(std::span<const BudgetItem> items, std::uint64_t bytes);

/// The importance-weighted error of a whole tensor in `format`, from at most `most_rows` of its rows spread evenly.
/// `importance` is [matrices, columns], or empty.
double sampled_error(const SourceTensor& tensor, BlockFormat format, std::span<const float> importance,
                     std::int64_t most_rows);

}  // namespace powerhouse
