#include "training/completion_batch.h"

#include <algorithm>
#include <array>

#include "ops/rope.h"
#include "ops/tensors.h"

namespace powerhouse {

namespace {

using Ids = std::span<const std::int64_t>;

Ids prompt_of(const PreferenceSequence& sequence) {
  return Ids(sequence.input_ids).first(static_cast<std::size_t>(sequence.prompt_tokens));
}
Ids completion_of(const PreferenceSequence& sequence) {
  return Ids(sequence.input_ids).subspan(static_cast<std::size_t>(sequence.prompt_tokens));
}

}  // namespace

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
  documents.push_back(tokens.documents() - 1);
  cu_seqlens.push_back(static_cast<std::int64_t>(completion_targets.size()));
  lengths.push_back(sequence.completion_tokens());
}

// Targets stand in the order of rows: the prompt's, then those of each completion.
void CompletionBatch::add_siblings(std::span<const PreferenceSequence* const> siblings, bool prompt) {
  const auto has_tokens = [](const PreferenceSequence* one) { return one->completion_tokens() > 0; };
  const auto continuations = std::count_if(siblings.begin(), siblings.end(), has_tokens);
  const Ids shared = prompt_of(*siblings.front());
  auto target = static_cast<std::int64_t>(completion_targets.size() + prompt_targets.size());
  for (std::size_t i = 1; prompt && continuations > 0 && i < shared.size(); ++i) prompt_targets.push_back(target++);
  std::vector<TokenBatch::Branch> branches;
  for (const PreferenceSequence* const one : siblings) {
    if (has_tokens(one)) branches.push_back({.ids = completion_of(*one)});
    for (std::int64_t i = 0; i < one->completion_tokens(); ++i) completion_targets.push_back(target++);
    cu_seqlens.push_back(std::ssize(completion_targets));
    lengths.push_back(one->completion_tokens());
  }
  if (continuations == 1) {  // nothing to share
    const PreferenceSequence& alone = **std::find_if(siblings.begin(), siblings.end(), has_tokens);
    std::vector<std::int64_t> labels = alone.input_ids;
    if (!prompt) std::fill_n(labels.begin(), alone.prompt_tokens, kIgnoredTarget);
    tokens.add(alone.input_ids, labels);
  } else if (continuations > 1) {
    tokens.add_branches(shared, branches, prompt ? shared : Ids());
  }
  std::int64_t document = tokens.documents() - continuations;
  for (const PreferenceSequence* const one : siblings) documents.push_back(has_tokens(one) ? document++ : -1);
}

namespace {

bool have_one_prompt(const PreferencePair& pair) {
  const Ids chosen = prompt_of(pair.chosen), rejected = prompt_of(pair.rejected);
  return chosen.size() > 1 && std::equal(chosen.begin(), chosen.end(), rejected.begin(), rejected.end());
}

// From chosen, rejected, chosen, rejected ... to all chosen ones in front.
void put_chosen_first(CompletionBatch& batch) {
  const std::vector<std::int64_t> offsets = std::move(batch.cu_seqlens), lengths = std::move(batch.lengths),
                                  documents = std::move(batch.documents), targets = std::move(batch.completion_targets);
  batch.cu_seqlens = {0}, batch.lengths = {}, batch.documents = {}, batch.completion_targets = {};
  for (const std::size_t side : {0, 1}) {
    for (std::size_t i = side; i < lengths.size(); i += 2) {
      batch.completion_targets.insert(batch.completion_targets.end(), targets.begin() + offsets[i],
                                      targets.begin() + offsets[i + 1]);
      batch.cu_seqlens.push_back(static_cast<std::int64_t>(batch.completion_targets.size()));
      batch.lengths.push_back(lengths[i]);
      batch.documents.push_back(documents[i]);
    }
  }
}

}  // namespace

CompletionBatch pair_batch(std::span<const PreferencePair> pairs, bool prompts, bool share_prompts) {
  CompletionBatch batch;
  for (const PreferencePair& pair : pairs) {
    if (share_prompts && have_one_prompt(pair)) {
      batch.add_siblings(std::array{&pair.chosen, &pair.rejected}, prompts);
    } else {
      batch.add(pair.chosen, prompts);
      batch.add(pair.rejected);
    }
  }
  put_chosen_first(batch);
  return batch;
}

bool may_share_prompts(const CausalLM& model) {
  const auto& layers = model.config().layers;
  return std::none_of(layers.begin(), layers.end(), [](const Block& block) {
    return block.position == PositionKind::rope && ops::depends_on_length(block.rope);
  });
}

CompletionScores score(const CausalLM& model, const CompletionBatch& batch, const ScoreOptions& options) {
  const TokenScores scores = model.score(batch.tokens, options);
  const bool in_order =
      std::is_sorted(batch.completion_targets.begin(), batch.completion_targets.end()) && batch.prompt_targets.empty();
  const at::Tensor completions = in_order ? at::Tensor() : index_tensor(batch.completion_targets);
  const auto taken = [&](const at::Tensor& values) {
    return in_order || !values.defined() ? values : values.index_select(0, completions);
  };
  CompletionScores out{.completions = {.token_log_probs = taken(scores.log_probs),
                                       .cu_seqlens = batch.cu_seqlens,
                                       .entropy = taken(scores.entropy),
                                       .log_sum_sq_probs = taken(scores.log_sum_sq_probs),
                                       .mean_logits = taken(scores.mean_logits),
                                       .is_top1 = taken(scores.is_top1),
                                       .lengths = batch.lengths}};
  if (batch.prompt_targets.empty()) return out;
  out.prompt_log_probs = scores.log_probs.index_select(0, index_tensor(batch.prompt_targets));
  return out;
}

}  // namespace powerhouse
