// DoRA's factor (Liu et al. 2024): a learned magnitude of each output over the norm of what it scales, W + scale B A.
// The norm is a constant to autograd, as the paper's section 4.3 and PEFT have it. It is made from the base's rows some
// at a time, so that blocks stay blocks, and kept until one of the tensors that it is made of is written to:
// generation, the passes of an accumulated step and layers that run again find it there.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <mutex>
#include <vector>

#include "model/adapter_table.h"
#include "ops/weight.h"

namespace powerhouse {

/// What the magnitudes belong to: rows of the matrix, or columns of an embedding, whose term is (B A)ᵀ.
enum class DoraOver { rows, columns };

/// One term's norms. From any thread.
class DoraNorm {
 public:
  /// |W + scale B A| of each output, float32 (float64 of such weights), W being `base` or what `adapters` put there.
  at::Tensor of(const Weight& base, const ModuleAdapters& adapters, const ModuleTerm& term, DoraOver over);

 private:
  std::mutex mutex_;
  std::vector<std::uint64_t> made_of_{};
  at::Tensor norm_{};
};

/// magnitude / norm, differentiable in the magnitude. [outputs], of an embedding [hidden].
at::Tensor dora_factor(const Weight& base, const ModuleAdapters& adapters, const ModuleTerm& term,
                       DoraOver over = DoraOver::rows);

}  // namespace powerhouse
