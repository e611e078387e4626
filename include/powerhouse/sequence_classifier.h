// SequenceClassifier: a decoder whose head gives numbers for a whole sequence, as transformers'
// ...ForSequenceClassification: classes, labels, a regression, or (one label) the reward of a text (reward_model.h).
//
//     auto classifier = powerhouse::SequenceClassifier::from_causal_lm("SmolLM2.gguf", {.num_labels = 3});
//     classifier.model().add_adapter("topics", {.rank = 16, .alpha = 32});  // the head trains along, as in PEFT
//     at::Tensor logits = classifier.logits(batch);                         // [documents, 3], differentiable
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "powerhouse/causal_lm.h"
#include "powerhouse/export.h"
#include "powerhouse/sequence_head.h"
#include "powerhouse/tensor.h"
#include "powerhouse/token_batch.h"
#include "powerhouse/token_scores.h"

namespace powerhouse {

/// A fresh head.
struct SequenceHeadOptions {
  std::int64_t num_labels = 1;        ///< where `labels` is empty: they are LABEL_0, LABEL_1 ...
  std::vector<std::string> labels{};  ///< id2label
  ProblemType problem_type = ProblemType::automatic;
  /// As in SequenceHead. None: what the checkpoint says (config.json's pad_token_id, GGUF's padding token). TRL sets
  /// the tokenizer's padding token, or its EOS.
  std::optional<std::int64_t> pad_token_id{};
  /// The weights are normal with this deviation. None: config.json's initializer_range (or init_std), else 0.02.
  std::optional<double> initializer_range{};
  std::uint64_t seed = 0;
};

/// Moves. Const use is safe from any thread, as CausalLM's.
class POWERHOUSE_API SequenceClassifier {
 public:
  /// Loads a folder whose config.json names such a class, or a GGUF file with llama.cpp's head of a reranker
  /// (cls.output.weight; its numbers before llama.cpp's softmax). Errors as CausalLM::from_pretrained's; Error{usage}
  /// for a folder or file whose head is the vocabulary's, Error{format} where `score.weight` is missing or has not as
  /// many rows as there are labels.
  static SequenceClassifier from_pretrained(const std::string& path, const LoadOptions& options = {});
  /// Loads a causal language model of any format and puts a fresh head in the place of its own, as transformers does.
  /// With LoadOptions::dtype automatic, quantized weights stay as they are. Error{usage} for a checkpoint that has a
  /// head over sequences, Error{unsupported} for families of which transformers has no such class.
  static SequenceClassifier from_causal_lm(const std::string& path, const SequenceHeadOptions& head = {},
                                           const LoadOptions& options = {});

  /// The decoder and its head, for adapters (LoRA's add_adapter trains the head whole, PEFT's task type is SEQ_CLS),
  /// hooks, parameters and trainers. What needs logits of tokens is Error{usage}.
  CausalLM& model() { return model_; }
  const CausalLM& model() const { return model_; }
  const SequenceHead& head() const;
  std::int64_t num_labels() const { return head().num_labels(); }

  /// Numbers of each document at its last token that is not padding, float32 [documents, labels], differentiable for
  /// what requires gradients. Error{usage} for empty batches and documents, Error{range} for ids and lengths that the
  /// model does not take, Error{numeric} where they are not finite and require no gradient. A document that continues
  /// another (TokenBatch::add_branches) has the number of both together, the prompt in front one of its own.
  at::Tensor logits(const TokenBatch& batch, const ScoreOptions& options = {}) const;
  /// The same of every token, [rows, labels]: for a head of values.
  at::Tensor token_logits(const TokenBatch& batch, const ScoreOptions& options = {}) const;

  /// Writes a folder that transformers' AutoModelForSequenceClassification reads; otherwise as CausalLM's.
  /// Error{unsupported} for a name that ends in ".gguf".
  void save_pretrained(const std::string& path, const SaveOptions& options = {}) const;

 private:
  explicit SequenceClassifier(CausalLM model) : model_(std::move(model)) {}
  CausalLM model_;
};

/// The loss of transformers' classes, a scalar: regression: mean squared error; single_label_classification: cross
/// entropy, `labels` int64 [documents]; multi_label_classification: binary cross entropy, `labels` 0 to 1, float
/// [documents, labels]. Automatic: regression for one label, else by the type of `labels`. Differentiable in any float
/// type. Error{usage} for shapes that do not fit, Error{range} for a class that is not there.
POWERHOUSE_API at::Tensor sequence_classification_loss(const at::Tensor& logits, const at::Tensor& labels,
                                                       ProblemType type = ProblemType::automatic);

}  // namespace powerhouse
