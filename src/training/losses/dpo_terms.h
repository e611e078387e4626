// What DPO's losses are made of, and their table.
#pragma once

#include <ATen/core/Tensor.h>

#include <span>
#include <string_view>

#include "powerhouse/dpo_loss.h"

namespace powerhouse::losses {

/// All [pairs].
struct DpoTerms {
  const PairLogProbs& policy;
  PairSums log_probs;  ///< of the policy; LD-DPO's weights applied
  PairSums reference;  ///< of the reference
  PairSums ratios;     ///< u
  PairSums scores;     ///< s(u)
  PairSums lengths;    ///< tokens, at least 1
  at::Tensor delta;    ///< Δ

  /// Scores a token: what ipo and sigmoid_norm compare.
  at::Tensor mean_delta() const { return scores.chosen.div(lengths.chosen).sub(scores.rejected.div(lengths.rejected)); }
};

struct DpoRow {
  std::string_view name;
  DpoLossType value;
  at::Tensor (*loss)(const DpoTerms&, const DpoOptions&);  ///< [pairs]
  bool any_divergence;  ///< built on a difference of scores, in which f-DPO's log Z cancels
  bool weighted;        ///< has a loss of each pair, which WPO can weight
};
std::span<const DpoRow> dpo_rows();

/// s(u), elementwise.
at::Tensor divergence_score(const at::Tensor& ratios, const DpoOptions& options);

}  // namespace powerhouse::losses
