// Rollouts: the completions of one generation and all that is known of them, by name; cut into micro batches.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "powerhouse/online.h"
#include "powerhouse/prompt_dataset.h"
#include "training/completion_batch.h"

namespace powerhouse {

/// A micro batch: what a loss asks for, packed in the order of its completions.
struct RolloutBatch {
  std::vector<std::int64_t> chosen{};  // completions, in the order of the batch
  CompletionBatch completions{};
  std::map<std::string, at::Tensor> values{};  // [completions] or [tokens], as in Rollouts

  /// Undefined where there is none.
  at::Tensor value(const std::string& name) const;
};

struct Rollouts {
  std::vector<PreferenceSequence> sequences{};  // completions without those tokens that are not learnt from
  std::vector<std::int64_t> rows{};             // of the dataset
  std::vector<bool> ended{};
  bool share_prompts = true;                           // a prompt is computed once for its completions in a batch
  std::map<std::string, at::Tensor> of_completions{};  // [completions]
  std::map<std::string, at::Tensor> of_tokens{};       // [tokens], packed
  Metrics metrics{};                                   // of the generation

  std::int64_t completions() const { return static_cast<std::int64_t>(sequences.size()); }
  std::int64_t tokens() const;  // of completions
  /// Completions of a row stand side by side.
  RolloutBatch batch(std::vector<std::int64_t> chosen) const;
  /// A float32 number of each token of all completions, [tokens], which `of` gives for those of a batch in its order:
  /// `batch_size` completions at a time, without gradients.
  at::Tensor each_token(std::int64_t batch_size, const std::function<at::Tensor(const TokenBatch&)>& of) const;

  /// A safetensors file, without the metrics.
  void save(const std::string& path) const;
  static Rollouts load(const std::string& path);  // Error{format}

 private:
  // Where the tokens of some completions are among all.
  std::vector<std::int64_t> places_of(const std::vector<std::int64_t>& chosen) const;
};

/// The model's log-probability of each token.
at::Tensor token_log_probs(const CausalLM& model, const Rollouts& rollouts, std::int64_t batch_size, float temperature);

}  // namespace powerhouse
