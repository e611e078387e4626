// Divergences row by row, without checks and means: what the losses of distillation and their passes by chunks
// (training/distillation_rows.h) are made of. All differentiable by the student.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "powerhouse/distillation_losses.h"

namespace powerhouse::losses {

/// Of log-probabilities [rows, outcomes], [rows]: KL(P|Q) for beta 0, KL(Q|P) for 1, else the generalized
/// Jensen-Shannon divergence.
at::Tensor generalized_jsd(const at::Tensor& teacher, const at::Tensor& student, double beta);

/// Log-probabilities [rows, vocabulary] as those of the tokens `ids` [rows, k] and of all others together,
/// [rows, k + 1]; [rows, k] where k is the vocabulary.
at::Tensor merge_others(const at::Tensor& log_probs, const at::Tensor& ids);
/// The same of a stored teacher.
at::Tensor merged(const TopTokens& teacher, std::int64_t vocabulary, at::ScalarType type);

/// [rows], of logits; factors [rows] or undefined.
at::Tensor universal_logit_rows(const at::Tensor& student, const at::Tensor& student_factors, const at::Tensor& teacher,
                                const at::Tensor& teacher_factors, double temperature);

/// Error{usage} unless floating [rows, columns].
void check_matrix(const at::Tensor& tensor, const std::string& field, const std::string& expected);
[[noreturn]] void refuse_shapes(const std::string& field, std::int64_t expected, std::int64_t found);

}  // namespace powerhouse::losses
