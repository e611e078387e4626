// One pass of rows through the head, chunk by chunk, with gradients or without: the engine of
// ops/linear_cross_entropy.h and of other losses of logits (ops/head_loss.h).
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>

#include "ops/linear_cross_entropy.h"

namespace powerhouse::ops {

/// Per row of all rows; losses beside what TargetLogProbs has.
struct RowResults {
  at::Tensor loss{}, log_probs{}, entropy{}, arg_max{};
  at::Tensor mean_logits{}, log_sum_sq_probs{};  // undefined unless CrossEntropyOptions::statistics
};

/// What gradients are made of, float32 [rows]: of each row's loss, and of its entropy or undefined.
struct RowWeights {
  at::Tensor loss{}, entropy{};
};

/// Which gradients are wanted; they come back in the type of what they belong to.
struct HeadGradients {
  bool want_hidden = false, want_matrix = false, want_bias = false;
  at::Tensor hidden{}, matrix{}, bias{};

  bool any() const { return want_hidden || want_matrix || want_bias; }
};

/// hidden [rows, size] of a kernel type, and a head whose tensors are contiguous in rows. `weights` are unused where no
/// gradient is wanted.
RowResults pass_through_head(const at::Tensor& hidden, const VocabularyHead& head, const at::Tensor& targets,
                             const RowWeights& weights, const CrossEntropyOptions& options, HeadGradients& gradients);

/// Makes the gradient by some rows' logits of them, in place; without gradients what it leaves there counts for
/// nothing.
using HeadChunkBody = std::function<void(std::int64_t first, at::Tensor& logits)>;

/// The logits of all rows, some at a time: scaled and capped, float32 (float64 of float64), `first` the first one's
/// row. hidden [rows, size] of f32, bf16, f16 or f64.
void visit_head_chunks(const at::Tensor& hidden, const VocabularyHead& head, std::int64_t chunk_bytes,
                       HeadGradients& gradients, const HeadChunkBody& body);

}  // namespace powerhouse::ops
