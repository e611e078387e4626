// Completions as a model scores them: documents side by side of which the completions' tokens are targets.
#pragma once

#include <ATen/core/Tensor.h>

#include <span>
#include <vector>

#include "powerhouse/causal_lm.h"
#include "powerhouse/completion_log_probs.h"
#include "powerhouse/preference_dataset.h"

namespace powerhouse {

struct CompletionBatch {
  TokenBatch tokens{};
  std::vector<std::int64_t> cu_seqlens{0};  // where each completion begins among the completions' targets
  std::vector<std::int64_t> lengths{};      // tokens of each completion, the first of a sequence too
  std::vector<std::int64_t> documents{};    // of `tokens`, that each completion ends; -1 without tokens
  std::vector<std::int64_t> completion_targets{}, prompt_targets{};  // numbers among all targets, in completions' order

  /// One more document. The prompt's tokens are targets too where `prompt`.
  void add(const PreferenceSequence& sequence, bool prompt = false);
  /// Completions of one prompt, whose rows are computed once; those without tokens have no document. The prompt's
  /// tokens are targets once where `prompt`.
  void add_siblings(std::span<const PreferenceSequence* const> siblings, bool prompt = false);
};

/// Of pairs, in the order that split_pairs takes: all chosen completions, then all rejected ones. Where a pair's
/// prompts are the same, and `share_prompts`, the model computes their rows once. `prompts`: those of the chosen
/// sequences are targets too (ORPO).
CompletionBatch pair_batch(std::span<const PreferencePair> pairs, bool prompts = false, bool share_prompts = true);

struct CompletionScores {
  CompletionLogProbs completions{};
  at::Tensor prompt_log_probs{};  // float32 [prompt_targets], where there are any
};

/// Whether completions of one prompt may share its rows: where the length of a sequence turns all of its keys (dynamic
/// NTK, longrope), two continuations see different prompts.
bool may_share_prompts(const CausalLM& model);

CompletionScores score(const CausalLM& model, const CompletionBatch& batch, const ScoreOptions& options = {});

}  // namespace powerhouse
