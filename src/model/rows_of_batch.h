// What a decoder makes of some rows of a TokenBatch: the passes that scores, losses and classifiers begin with.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "model/api_guard.h"
#include "model/causal_lm_impl.h"
#include "powerhouse/token_batch.h"

namespace powerhouse {

/// Throws Error{usage} for batches whose parts differ in size, and where nothing is in one or in a document of it;
/// Error{range} for ids outside the vocabulary. Targets are not looked at.
void check_batch(const ModelConfig& config, const TokenBatch& batch);

PackedBatch packed(const TokenBatch& batch, std::vector<std::int64_t> rows);
/// Error{unsupported}: keys that several documents see can't be turned for each of them.
void check_rope_of_prefixes(const ModelConfig& config, const PackedBatch& batch);
TrainingPass training_pass(const std::shared_ptr<Model>& model, const ScoreOptions& options);

/// op(hidden states of `rows` behind the final norm, how the head computes), while nobody changes the model.
template <typename Op>
auto with_hidden(const CausalLM::Impl& impl, const TokenBatch& batch, std::vector<std::int64_t> rows,
                 const ScoreOptions& options, Op op) {
  const ModelGate::Reading reading_hooks(impl.gate);
  const ModelGate::Reading reading_model(impl.model->gate);
  PackedBatch tokens = packed(batch, std::move(rows));
  if (impl.virtual_tokens() > 0) tokens = with_virtual_tokens(tokens, *impl.adapters);
  for (const std::int64_t length : tokens.rope_lengths) {
    check_length(impl.model->config, length, impl.virtual_tokens());
  }
  check_rope_of_prefixes(impl.model->config, tokens);
  return guarded([&] {
    Arithmetic arithmetic = impl.arithmetic();
    arithmetic.dropout_key = options.dropout_key;
    return op(impl.model->decoder.hidden_states(tokens, impl.hooks, arithmetic, training_pass(impl.model, options)),
              arithmetic);
  });
}

}  // namespace powerhouse
