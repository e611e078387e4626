// The losses of distillation on some rows' logits, with their gradient: what ops::head_loss calls for each chunk.
#pragma once

#include <ATen/core/Tensor.h>

#include "ops/head_loss.h"
#include "powerhouse/distillation.h"

namespace powerhouse {

/// What a row's losses are multiplied by; the numbers of rows they are means over are in them.
struct DistillationWeights {
  double cross_entropy = 0, divergence = 0, hidden = 0;
};

/// Sums over rows, unweighted.
struct DistillationSums {
  double cross_entropy = 0, divergence = 0, hidden = 0, entropy = 0;
};

class DistillationRows {
 public:
  /// Sums are added to.
  DistillationRows(const DistillOptions& options, const DistillationWeights& weights, DistillationSums& sums)
      : options_(options), weights_(weights), sums_(sums) {}

  /// Both [rows, vocabulary], float32 or float64; the student's are overwritten. targets int64 [rows].
  ops::ChunkLoss dense(const at::Tensor& logits, const at::Tensor& teacher_logits, const at::Tensor& targets,
                       bool gradient) const;
  ops::ChunkLoss top_tokens(const at::Tensor& logits, const TopTokens& teacher, const at::Tensor& targets,
                            bool gradient) const;
  /// No cross entropy: rows are the last ones of spans. Factors undefined or [rows].
  ops::ChunkLoss universal(const at::Tensor& logits, const at::Tensor& factors, const at::Tensor& teacher_logits,
                           const at::Tensor& teacher_factors, bool gradient) const;

 private:
  double divergence_weight() const;
  /// Adds the cross entropy to a chunk whose divergence is there. `logits` are the student's own.
  void add_cross_entropy(ops::ChunkLoss& chunk, const at::Tensor& log_q, const at::Tensor& targets,
                         bool gradient) const;

  DistillOptions options_;
  DistillationWeights weights_;
  DistillationSums& sums_;
};

}  // namespace powerhouse
