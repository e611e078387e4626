// What a model says of a TokenBatch: log-probabilities of its targets, and losses made of them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "powerhouse/device.h"
#include "powerhouse/export.h"
#include "powerhouse/model_config.h"
#include "powerhouse/tensor.h"
#include "powerhouse/token_batch.h"

namespace powerhouse {

/// How a batch is scored.
struct ScoreOptions {
  /// Activation checkpointing (Chen et al. 2016): the first so many layers keep only their input for the backward pass,
  /// which runs them again; -1 means all. Saves memory, costs a forward pass of those layers. Gradients are the same
  /// bits. Where hooks are set, nothing is checkpointed: a hook sees each activation once. `checkpointed_layers_for`
  /// finds the number for a budget.
  std::int64_t checkpointed_layers = 0;
  /// Keys the dropout of adapters in this pass; without it there is none, as in evaluation. Another number for every
  /// micro batch.
  std::optional<std::uint64_t> dropout_key{};
  /// Logits are divided by it: log-probabilities of the distribution that a sampler at this temperature draws from.
  float temperature = 1;
  bool logit_statistics = false;  ///< TokenScores::mean_logits and log_sum_sq_probs too
  /// TokenScores::entropy is differentiable: the backward pass multiplies by the head once more.
  bool entropy_gradient = false;
};

/// Bytes that the activations of a batch of `rows` tokens take where they are most: when the backward pass begins, or
/// when it runs a checkpointed layer again. `dtype` is the one that the model computes in. Counted from the config for
/// a model all of whose weights get gradients. Beside it stand what adapters keep (plain LoRA: rank numbers a token and
/// matrix; DoRA and others more), temporary tensors of the layer at work, and the head's chunk of 64 MiB.
/// `checkpointed_layers` as in ScoreOptions. Error{range} for numbers that are none, Error{usage} for Dtype::automatic.
POWERHOUSE_API std::size_t activation_bytes(const ModelConfig& config, std::int64_t rows, Dtype dtype,
                                            std::int64_t checkpointed_layers = 0);

/// The fewest first layers to checkpoint so that activation_bytes is within `budget_bytes`; all of them where no number
/// is enough.
POWERHOUSE_API std::int64_t checkpointed_layers_for(const ModelConfig& config, std::int64_t rows, Dtype dtype,
                                                    std::size_t budget_bytes);

/// Of every row that has a target, in the order of rows. (Templates, so that only who uses them needs LibTorch's
/// header.)
template <typename Tensor>
struct BasicTokenScores {
  Tensor rows;       ///< int64 [targets], rows of the batch
  Tensor log_probs;  ///< float32 [targets], the log-probability of the target; differentiable
  Tensor entropy;    ///< float32 [targets], of the whole distribution, in nats; a gradient only where asked for
  Tensor is_top1;    ///< bool [targets], whether the target is the likeliest token, of equals the first
  // Undefined unless ScoreOptions::logit_statistics:
  Tensor mean_logits;       ///< float32 [targets], mean of the logits over the vocabulary; no gradient
  Tensor log_sum_sq_probs;  ///< float32 [targets], log of the sum of the squares of all probabilities; no gradient
};
using TokenScores = BasicTokenScores<at::Tensor>;

/// A loss, and what it was made of.
template <typename Tensor>
struct BasicTokenLoss {
  Tensor loss;       ///< scalar float32; differentiable
  Tensor log_probs;  ///< as in TokenScores, without a gradient
  Tensor entropy;    ///< as in TokenScores
};
using TokenLoss = BasicTokenLoss<at::Tensor>;

}  // namespace powerhouse
