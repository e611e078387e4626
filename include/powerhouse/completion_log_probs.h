// What a loss of preference alignment or reinforcement learning is made of: log-probabilities of completions, packed
// side by side without padding, and what it gives: a scalar, and metrics under TRL's names.
//
//     const TokenScores scores = model.score(batch);  // documents: the chosen ones, then the rejected ones
//     const CompletionLogProbs all{scores.log_probs, completion_offsets(batch), scores.entropy};
//     const LossResult result = dpo_loss(split_pairs(all), reference);
//     result.loss.backward();
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "powerhouse/export.h"
#include "powerhouse/tensor.h"
#include "powerhouse/token_batch.h"

namespace powerhouse {

/// Log-probabilities (natural logarithm) of completions' tokens. Any floating type; sums and losses of bf16 and f16 are
/// float32. A completion may be empty. (Templates, so that only who uses them needs LibTorch's header.)
template <typename Tensor>
struct BasicCompletionLogProbs {
  Tensor token_log_probs{};                 ///< floating [tokens]; differentiable
  std::vector<std::int64_t> cu_seqlens{0};  ///< where each completion begins, and the number of tokens at the end
  Tensor entropy{};                         ///< floating [tokens], for the metric of that name; may be undefined
  Tensor log_sum_sq_probs{};  ///< floating [tokens], log of the sum over the vocabulary of p²: for WPO only
  Tensor mean_logits{};       ///< floating [tokens], over the vocabulary, for the metrics logits/...; may be undefined
  Tensor is_top1{};           ///< bool [tokens], for DPO's mean_token_accuracy; may be undefined
  /// Tokens of each completion, where that is more than those that have a log-probability: behind an empty prompt the
  /// first token has none. TRL's `ipo` and `sigmoid_norm` divide by this number. Empty: as cu_seqlens says.
  std::vector<std::int64_t> lengths{};

  std::int64_t completions() const { return static_cast<std::int64_t>(cu_seqlens.size()) - 1; }
};
using CompletionLogProbs = BasicCompletionLogProbs<at::Tensor>;

/// Two completions of each prompt, in the same order.
template <typename Tensor>
struct BasicPairLogProbs {
  BasicCompletionLogProbs<Tensor> chosen{}, rejected{};
};
using PairLogProbs = BasicPairLogProbs<at::Tensor>;

/// A number of each pair, e.g. sums of log-probabilities: floating [pairs].
template <typename Tensor>
struct BasicPairSums {
  Tensor chosen{}, rejected{};
};
using PairSums = BasicPairSums<at::Tensor>;

using Metrics = std::vector<std::pair<std::string, double>>;

/// A loss, and metrics under TRL's names, each the mean over this batch. A metric that has no value in a batch (the
/// reward of rejected completions where there are none) is absent; none is NaN.
template <typename Tensor>
struct BasicLossResult {
  Tensor loss{};  ///< scalar; differentiable
  Metrics metrics{};
};
using LossResult = BasicLossResult<at::Tensor>;

// Every function of these headers throws Error{usage} for shapes and offsets that don't fit, Error{range} for options
// out of their bounds, and Error{numeric} where a loss would not be finite: a log-probability that is NaN or infinite,
// an average over an empty completion. The error names the completion. No loss is NaN in silence.

/// Where the completions of a batch lie among its targets: cu_seqlens for the log_probs that CausalLM::score gives,
/// each document's targets being one completion.
POWERHOUSE_API std::vector<std::int64_t> completion_offsets(const TokenBatch& batch);

/// Completions of padded rows: log_probs floating [completions, length]; mask bool or integer, the same shape, not zero
/// where a token counts, anywhere in a row.
POWERHOUSE_API CompletionLogProbs from_padded(const at::Tensor& log_probs, const at::Tensor& mask);

/// The first half chosen, the second half rejected, as TRL's batches have them.
POWERHOUSE_API PairLogProbs split_pairs(const CompletionLogProbs& completions);

/// Of each completion the sum of its tokens' log-probabilities, 0 of an empty one: floating [completions].
POWERHOUSE_API at::Tensor sums(const CompletionLogProbs& completions);

/// Of each completion the mean: floating [completions]. Error{numeric} for an empty one.
POWERHOUSE_API at::Tensor means(const CompletionLogProbs& completions);

}  // namespace powerhouse
