// Knowledge distillation: a student learns a teacher's whole distribution of the next token, or its hidden states.
#pragma once

#include <cstdint>

#include "powerhouse/completion_log_probs.h"

namespace powerhouse {

struct DistillOptions {
  /// Which divergence of teacher P from student Q: 0 the forward KL(P|Q) (Hinton et al. 2015, arXiv 1503.02531), 1 the
  /// reverse KL(Q|P) (MiniLLM, 2306.08543), between them the generalized Jensen-Shannon divergence of GKD (2306.13649),
  /// β KL(P|M) + (1-β) KL(Q|M) with M = βP + (1-β)Q. As TRL, the ends are the divergences themselves; the paper's
  /// formula tends to 0 there. DistillationTrainer's default is 1, GKDTrainer's 0.5.
  double beta = 1;
  double temperature = 1;  ///< divides both models' logits, above 0; GKDTrainer's samples with 0.9 and divides by 1
  /// Times T², which keeps gradients of one size whatever T (Hinton et al. 2015). TRL does not.
  bool scale_by_temperature_squared = false;
};

/// Mean over rows of the divergence, in nats. Both floating [rows, vocabulary], of the same positions: student's logits
/// differentiable, teacher's without a gradient, all of them finite. `num_items_in_batch`: divide the sum by
/// this instead of the rows, for a row's share of an accumulated batch; 0 rows give 0. Rows are independent: call it by
/// chunks where [rows, vocabulary] is too much. Metrics: entropy of the student at this temperature (rows > 0).
POWERHOUSE_API LossResult distillation_loss(const at::Tensor& student_logits, const at::Tensor& teacher_logits,
                                            const DistillOptions& options = {}, std::int64_t num_items_in_batch = 0);

/// Mean squared difference of hidden states, over rows and columns (FitNets, Romero et al. 2015, 1412.6550; TinyBERT,
/// 1909.10351): student [rows, student_hidden], teacher [rows, teacher_hidden] without a gradient. `projection`
/// [teacher_hidden, student_hidden] is learnt where the widths differ; undefined: the widths must agree.
POWERHOUSE_API at::Tensor hidden_state_loss(const at::Tensor& student, const at::Tensor& teacher,
                                            const at::Tensor& projection);

/// Error{range} for options out of their bounds; distillation_loss checks as well.
POWERHOUSE_API void check(const DistillOptions& options);

}  // namespace powerhouse
