// What a loss of GRPO's kin is made of, and the table of their types.
#pragma once

#include <ATen/core/Tensor.h>

#include <string_view>

#include "powerhouse/policy_losses.h"
#include "training/losses/common.h"

namespace powerhouse::losses {

/// A unit is a token, or a completion where the ratio is one of the sequence.
struct GrpoTerms {
  const CompletionLogProbs& policy;
  const GrpoBatch& batch;
  const GrpoOptions& options;
  bool of_sequences = false;
  at::Tensor index;       // int64 [tokens], the completion
  at::Tensor lengths;     // [completions]
  at::Tensor log_probs;   // [tokens]
  at::Tensor log_ratio;   // [tokens], log π - log π_old
  at::Tensor ratio;       // [units]
  at::Tensor advantages;  // [completions]
  at::Tensor sampling;    // [tokens], importance_sampling_ratio, or undefined
  double high = 0;        // epsilon_high

  at::Tensor to_tokens(const at::Tensor& of_completions) const { return of_completions.index_select(0, index); }
  at::Tensor spread(const at::Tensor& of_units) const { return of_sequences ? to_tokens(of_units) : of_units; }
  at::Tensor unit_advantages() const { return of_sequences ? advantages : to_tokens(advantages); }
  at::Tensor completion_sums(const at::Tensor& of_tokens) const { return segment_sums(of_tokens, policy.cu_seqlens); }
  double tokens() const { return std::max(1.0, static_cast<double>(log_probs.size(0))); }
};

struct GrpoRow {
  std::string_view name;
  GrpoLossType value;
  at::Tensor (*term)(const GrpoTerms&, Metrics&);                  ///< [units] or [tokens]
  at::Tensor (*reduce)(const GrpoTerms&, const at::Tensor& each);  ///< [tokens] to a scalar
  bool of_units;                                                   ///< the term is one a unit
  bool share_of_step;  ///< divided by the tokens of the whole step, so that batches of it add up
};
/// Error{usage} for a value that is none.
const GrpoRow& grpo_row(GrpoLossType type);

}  // namespace powerhouse::losses
