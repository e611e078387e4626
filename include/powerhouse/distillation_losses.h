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

/// What a stored teacher says of some positions: its k most likely tokens and what is left for all others together.
template <typename Tensor>
struct BasicTopTokens {
  Tensor ids;        ///< int64 or int32 [rows, k], no token twice in a row
  Tensor log_probs;  ///< floating [rows, k], at the options' temperature
  Tensor rest;       ///< floating [rows], the log of the others' probability; -inf: none
};
using TopTokens = BasicTopTokens<at::Tensor>;

/// The k largest of a distribution, logits [rows, vocabulary] divided by the temperature; k is at most the vocabulary.
/// float32, of float64 logits float64; ids int32.
POWERHOUSE_API TopTokens top_tokens(const at::Tensor& logits, std::int64_t k, double temperature = 1);

/// As distillation_loss where the teacher's distribution is known by its most likely tokens alone. All others are one
/// event, "another token", of both models: k + 1 outcomes (TRL's ServerDistillationTrainer with loss_add_tail). Merging
/// outcomes never makes a divergence larger, and what the k tokens leave out is neither taken for 0 nor given to them;
/// inside the rest the student keeps its own proportions. With k = vocabulary it is distillation_loss.
POWERHOUSE_API LossResult top_token_distillation_loss(const at::Tensor& student_logits, const TopTokens& teacher,
                                                      const DistillOptions& options = {},
                                                      std::int64_t num_items_in_batch = 0);

/// Universal Logit Distillation (Boizard et al. 2024, arXiv 2402.12030), for vocabularies that differ: row by row the
/// sum of |difference| of the probabilities in falling order, the shorter row filled up with zeros; mean over rows, or
/// sum / num_items_in_batch. Both floating [rows, own vocabulary]; the student's differentiable. Factors [rows],
/// undefined for 1, are what a row is multiplied by: where several tokens of one vocabulary stand for one span, the
/// probability of the span's tokens before the last (TRL's GOLD, uld_token_merge_strategy "bayesian"; its default
/// "observed" takes rows and tokens that are one apart, and is not built). Only the temperature counts of the options.
POWERHOUSE_API LossResult universal_logit_loss(const at::Tensor& student_logits, const at::Tensor& student_factors,
                                               const at::Tensor& teacher_logits, const at::Tensor& teacher_factors,
                                               const DistillOptions& options = {}, std::int64_t num_items_in_batch = 0);

/// Error{range} for options out of their bounds; distillation_loss checks as well.
POWERHOUSE_API void check(const DistillOptions& options);

}  // namespace powerhouse
