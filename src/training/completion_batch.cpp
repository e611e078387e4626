#include "training/completion_batch.h"

#include <ATen/core/Tensor.h>

#include "ops/tensors.h"

namespace powerhouse {

void CompletionBatch::add(const PreferenceSequence& sequence, bool prompt) {
  std::vector<std::int64_t> labels = sequence.input_ids;
  auto target = static_cast<std::int64_t>(completion_targets.size() + prompt_targets.size());
  for (std::int64_t i = 0; i < static_cast<std::int64_t>(labels.size()); ++i) {
    const bool in_prompt = i < sequence.prompt_tokens;
    if (in_prompt && !prompt) labels[static_cast<std::size_t>(i)] = kIgnoredTarget;
    if (i == 0 || (in_prompt && !prompt)) continue;  // nothing predicts a document's first token
    (in_prompt ? prompt_targets : completion_targets).push_back(target++);
  }
  tokens.add(sequence.input_ids, labels);
  cu_seqlens.push_back(static_cast<std::int64_t>(completion_targets.size()));
  lengths.push_back(sequence.completion_tokens());
}

CompletionBatch pair_batch(std::span<const PreferencePair> pairs, bool prompts) {
  CompletionBatch batch;
  for (const PreferencePair& pair : pairs) batch.add(pair.chosen, prompts);
  for (const PreferencePair& pair : pairs) batch.add(pair.rejected);
  return batch;
}

CompletionScores score(const CausalLM& model, const CompletionBatch& batch, const ScoreOptions& options) {
  const TokenScores scores = model.score(batch.tokens, options);
  CompletionScores out;
  out.completions.cu_seqlens = batch.cu_seqlens;
  out.completions.lengths = batch.lengths;
  if (batch.prompt_targets.empty()) {
    out.completions.token_log_probs = scores.log_probs;
    out.completions.entropy = scores.entropy;
    return out;
  }
  const at::Tensor completions = index_tensor(batch.completion_targets);
  out.completions.token_log_probs = scores.log_probs.index_select(0, completions);
  out.completions.entropy = scores.entropy.index_select(0, completions);
  out.prompt_log_probs = scores.log_probs.index_select(0, index_tensor(batch.prompt_targets));
  return out;
}

}  // namespace powerhouse
