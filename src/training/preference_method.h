// A preference method at work on a micro batch: which sequences it scores, what it asks of the reference, its loss.
#pragma once

#include <span>
#include <vector>

#include "powerhouse/preference.h"
#include "powerhouse/preference_dataset.h"
#include "training/completion_batch.h"

namespace powerhouse {

/// Rows of a dataset that are scored together.
struct PreferenceMicroBatch {
  std::vector<std::int64_t> rows{};
  // Of pairs: chosen, then rejected. KTO's: those of the rows, then each row's prompt with the completion of the row
  // before it, the first's with the last one's.
  CompletionBatch completions{};
  std::vector<bool> desirable{};
};

class PreferenceMethod {
 public:
  /// `share_prompts` as in pair_batch. Error{range, usage, unsupported} for options that make no sense.
  explicit PreferenceMethod(PreferenceOptions options, bool share_prompts = true);

  bool unpaired() const { return std::holds_alternative<KtoOptions>(options_); }
  bool has_reference() const;
  /// Whether it scores mismatched completions.
  bool has_mismatched() const;
  /// Completions of a row.
  std::int64_t completions_of_row() const { return unpaired() && !has_mismatched() ? 1 : 2; }
  /// "dpo (sigmoid), beta 0.1".
  std::string description() const;
  /// Of what precomputed sums depend on.
  std::string reference_key() const;

  PreferenceMicroBatch load(const PreferenceDataset& data, std::vector<std::int64_t> rows) const;
  /// Tokens that the loss is about.
  std::int64_t target_tokens(const PreferenceMicroBatch& batch) const;
  /// Sums of its log-probabilities, float32 [completions], without gradients.
  at::Tensor reference(const CausalLM& model, const PreferenceMicroBatch& batch) const;
  LossResult loss(const CausalLM& model, const PreferenceMicroBatch& batch, const at::Tensor& reference,
                  ScoreOptions options) const;

 private:
  PreferenceOptions options_;
  bool share_prompts_;
};

}  // namespace powerhouse
