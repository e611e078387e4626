// The rows of a TokenBatch that have a target, as the head reads them: for losses that need more of a distribution than
// the target's log-probability.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>
#include <vector>

#include "model/causal_lm_impl.h"
#include "ops/tensors.h"
#include "powerhouse/token_scores.h"

namespace powerhouse {

struct TargetRows {
  at::Tensor hidden{};                        // [targets, hidden], behind the final norm; differentiable
  std::vector<std::int64_t> rows{}, ids{};    // of the batch, and the targets
  std::optional<ops::VocabularyHead> head{};  // none where logits are made otherwise (exact numerics, adapters)
  Arithmetic arithmetic{};                    // for Decoder::logits then

  /// Some of the rows of `hidden`.
  at::Tensor at(std::span<const std::int64_t> places) const {
    return hidden.index_select(0, index_tensor(places, hidden.device()));
  }
};

/// Errors as CausalLM::score has them.
TargetRows target_rows(const CausalLM& model, const TokenBatch& batch, const ScoreOptions& options);

}  // namespace powerhouse
