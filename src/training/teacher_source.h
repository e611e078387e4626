// What a student is taught by, as the objective asks it: a model of the same vocabulary, a file of its most likely
// tokens, or a model with another tokenizer.
#pragma once

#include <ATen/core/Tensor.h>

#include <memory>
#include <string>

#include "model/target_rows.h"
#include "powerhouse/distillation.h"
#include "powerhouse/token_batch.h"
#include "training/distillation_rows.h"

namespace powerhouse {

/// A student's pass over one micro batch.
struct StudentPass {
  const CausalLM& model;
  const TokenBatch& batch;
  const TargetRows& rows;
  const DistillOptions& options;
  const DistillationWeights& weights;
  DistillationSums& sums;
  at::Tensor projection{};  // of hidden states, or undefined
};

class TeacherSource {
 public:
  virtual ~TeacherSource() = default;
  /// Another where the same step would have another loss.
  virtual std::string fingerprint() const = 0;
  virtual std::string description() const = 0;
  /// Before the first step: Error{usage} where rows of the data have no teacher.
  virtual void prepare(const Dataset& /*data*/) {}
  /// At how many rows, or spans of them, a batch has a divergence.
  virtual std::int64_t comparisons(const TokenBatch& batch) { return batch.target_count(); }
  /// The weighted sum of a batch's losses; differentiable, and sums are added to.
  virtual at::Tensor loss(const StudentPass& student) = 0;
};

/// Error{usage} for a model that can't be the student's teacher.
std::unique_ptr<TeacherSource> live_teacher(const CausalLM& student, const CausalLM& teacher);
std::unique_ptr<TeacherSource> stored_teacher(const CausalLM& student, const TeacherStore& store,
                                              const DistillOptions& options);
std::unique_ptr<TeacherSource> other_vocabulary_teacher(const CausalLM& student, const Dataset& student_data,
                                                        const CausalLM& teacher, const Dataset& teacher_data);
/// Error{usage} where they are one model, or the student's training would move the teacher.
void check_apart(const CausalLM& student, const CausalLM& teacher);

/// The loss of the student's targets by their logits, in chunks; `factors` as in ops::head_loss.
at::Tensor student_loss(const CausalLM& student, const TargetRows& rows, const at::Tensor& hidden,
                        const ops::ChunkLossFunction& loss, const at::Tensor& factors = {});

/// A teacher's logits of some of its target rows, which never need exist all at once. No gradients.
class TeacherLogits {
 public:
  TeacherLogits(const CausalLM& teacher, const TokenBatch& batch);
  const TargetRows& rows() const { return rows_; }
  /// float32 [rows of hidden, vocabulary]
  at::Tensor logits(const at::Tensor& hidden) const;

 private:
  const CausalLM& teacher_;
  TargetRows rows_;
};

}  // namespace powerhouse
