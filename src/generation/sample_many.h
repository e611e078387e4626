// Many completions at once, with the log-probabilities of their tokens: what a trainer learns from.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "powerhouse/generation.h"

namespace powerhouse {

struct SampledCompletion {
  std::vector<std::int64_t> ids;  // EOS included
  std::vector<float> log_probs;   // where they are wanted, of each at the sampling temperature, among all tokens
  bool ended = false;             // by EOS
  bool stopped = false;           // by the constraint, or by on_token
  bool whole = false;             // not cut off by `cancel`
};

struct ManyOptions {
  std::int64_t per_prompt = 1;
  /// Of completion i of all; the same seed gives the same completion, whatever is sampled beside it, as far as the
  /// model's numerics give the same logits.
  std::function<std::uint64_t(std::size_t completion)> seed;
  /// Told each token that is no EOS; true ends the completion there.
  std::function<bool(std::size_t completion, std::int64_t id)> on_token{};
  bool log_probs = true;  ///< without, a temperature of 0 is taken too
};

/// Samples max_new_tokens at most for each of `prompts`, per_prompt completions side by side, prompt by prompt. All go
/// through the model together; those of a prompt share its cache. `cancel` leaves completions as they are; in front of
/// the first token it is Error{cancelled}. Error{usage} for a temperature of 0, which has no probabilities, and where
/// stop strings, seed or callbacks of `options` are set; Error{range} for a prompt that leaves no room in the model's
/// context.
std::vector<SampledCompletion> sample_many(const CausalLM& model, const Tokenizer& tokenizer,
                                           const std::vector<std::vector<std::int64_t>>& prompts,
                                           const GenerationOptions& options, const ManyOptions& many);

}  // namespace powerhouse
