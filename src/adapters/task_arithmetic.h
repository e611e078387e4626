// Tensors of several adapters made one, element by element: PEFT's utils/merge_utils.py. TIES (Yadav et al. 2023) trims
// small values and keeps those of the sign that more weight stands behind; DARE (Yu et al. 2024) drops values at random
// and scales up what is left, which is dropout; magnitude pruning trims alone.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "powerhouse/adapter.h"

namespace powerhouse {

/// Whether a combination works on B A and is made low-rank again, instead of on A and B apart.
bool is_by_svd(Combination combination);

/// Error{usage} where `density` is missing or would do nothing, Error{range} where it is no share.
void check_density(const CombineOptions& options);

class TaskArithmetic {
 public:
  explicit TaskArithmetic(const CombineOptions& options);

  /// The weighted sum of tensors [rows, columns] of one shape, pruned and elected as the options say. A DARE draws anew
  /// for each tensor that it sees.
  at::Tensor combine(const std::vector<at::Tensor>& tensors, const std::vector<double>& weights);

 private:
  at::Tensor pruned(const at::Tensor& tensor);

  bool trims_ = false, drops_ = false, elects_ = false;
  double density_ = 1;
  MajoritySign majority_sign_;
  std::uint64_t seed_;
  std::uint32_t lane_ = 0;
};

}  // namespace powerhouse
