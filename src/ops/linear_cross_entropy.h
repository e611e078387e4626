// The language-model head and cross entropy as one operation (Liger Kernel, Hsu et al. 2024; Wijmans et al. 2024).
//
// Logits [rows, vocabulary] never exist at once: rows go through in chunks of a byte budget, whose logits become their
// own gradient in place. Rows without a target are never multiplied.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>

#include "ops/weight.h"
#include "powerhouse/token_batch.h"  // kIgnoredTarget

namespace powerhouse::ops {

/// logits = softcap(logit_scale (hidden Wᵀ + bias)), softcap(l) = cap tanh(l / cap).
struct VocabularyHead {
  at::Tensor matrix{};             ///< [vocabulary, hidden]; undefined: `blocks` holds it
  Weight blocks{};                 ///< made plain numbers by rows, for each product
  at::Tensor bias{};               ///< [vocabulary], or undefined
  float logit_scale = 1;           ///< Cohere, Granite; above 0
  std::optional<float> softcap{};  ///< Gemma 2; above 0
};

/// The head of a weight in any format.
VocabularyHead vocabulary_head(const Weight& weight, const at::Tensor& bias = {});

/// On a device fewer, larger products, whose gradient of the head need not be added up in float32: with eight chunks a
/// step on an H100 waited 4 of 125 ms for that.
inline std::int64_t head_chunk(const at::Device& device) { return device.is_cpu() ? 64ll << 20 : 512ll << 20; }

struct CrossEntropyOptions {
  float label_smoothing = 0;     ///< [0, 1]: share of the target distribution that all tokens get alike
  float z_loss = 0;              ///< times log(sum(exp(logits)))², added to each row's loss (PaLM)
  std::int64_t chunk_bytes = 0;  ///< of logits, and of a head made plain numbers, at once; 0: head_chunk()
  // Of linear_log_probs:
  bool statistics = false;        ///< also mean_logits and log_sum_sq_probs
  bool entropy_gradient = false;  ///< entropy is differentiable as log_probs is
};

/// All [rows]; rows without a target have -1 as arg_max and 0 elsewhere.
struct TargetLogProbs {
  at::Tensor log_probs{};         ///< float32, natural logarithm
  at::Tensor entropy{};           ///< of the row's distribution, in nats; no gradient unless asked for
  at::Tensor arg_max{};           ///< int64, the first most likely token; -1 where a logit is NaN
  at::Tensor mean_logits{};       ///< float32, over the vocabulary; undefined unless asked for
  at::Tensor log_sum_sq_probs{};  ///< float32, log sum(p²); undefined unless asked for
};

/// The log-probability of each row's target. hidden [rows, hidden]; targets int64 [rows], kIgnoredTarget or a token.
/// Differentiable once, by hidden, matrix and bias. Backward computes the logits again where anything but hidden wants
/// a gradient, and for entropy_gradient. float64 takes LibTorch's operations, whole, and gives numbers in the type of
/// hidden. Targets lie on the CPU or beside hidden; on a device they are waited for. Error{usage} for shapes that don't
/// fit, Error{range} for a target outside the vocabulary.
TargetLogProbs linear_log_probs(const at::Tensor& hidden, const VocabularyHead& head, const at::Tensor& targets,
                                const CrossEntropyOptions& options = {});

struct CrossEntropy {
  at::Tensor loss{};      ///< scalar float32
  TargetLogProbs rows{};  ///< without gradients
};

/// sum(weights * loss of a row) over rows with targets; a row's loss is -log_prob, or as the options say. `weights` is
/// float32 [rows], 1 / number of targets for their mean. Gradients are computed along with the loss, a third cheaper
/// than by linear_log_probs, and kept: [rows, hidden], and of matrix and bias where they require one. Otherwise as
/// above.
CrossEntropy linear_cross_entropy(const at::Tensor& hidden, const VocabularyHead& head, const at::Tensor& targets,
                                  const at::Tensor& weights, const CrossEntropyOptions& options = {});

}  // namespace powerhouse::ops
