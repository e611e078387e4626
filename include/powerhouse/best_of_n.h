// Best of n: sample several completions, and take the one that a reward model (or a function) likes best (Stiennon et
// al. 2020, arXiv 2009.01325).
//
//     auto ranked = powerhouse::best_of_n(model, tokenizer, {{"user", "Write a haiku."}}, judge, judge_tokenizer, {.n =
//     8}); std::cout << ranked.front().text;
#pragma once

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <span>
#include <string>
#include <vector>

#include "powerhouse/export.h"
#include "powerhouse/generation.h"
#include "powerhouse/reward_model.h"

namespace powerhouse {

struct BestOfNOptions {
  std::int64_t n = 4;
  /// Completion i is sampled with seed + i, so that the same seed, n, prompt and model give the same completions; each
  /// is the one that `generate` samples alone with its seed, as far as the model's numerics give the same logits (exact
  /// ones do). Error{usage} for a temperature of 0 where n is above 1, as all would be alike, and for on_token.
  GenerationOptions generation{.temperature = 1.0f};
};

struct RankedCompletion {
  std::string text{};
  std::vector<std::int64_t> ids{};  ///< EOS included
  FinishReason finish_reason = FinishReason::length;
  double reward = 0;
  std::int64_t index = 0;  ///< of the n, in the order of sampling
};

/// Gives the reward of each completion.
using CompletionRewards = std::function<std::vector<double>(std::span<const RankedCompletion> completions)>;

/// The n completions of a prompt, best first; of equal ones the earlier first. The prompt is computed once, and each
/// pass takes a token of all. Where `generation.cancel` ends it, those that were complete. Error{range} for an n below
/// 1, Error{numeric} for a reward that is not finite, Error{usage} where there are not as many rewards as completions;
/// otherwise as `generate`.
POWERHOUSE_API std::vector<RankedCompletion> best_of_n(const CausalLM& model, const Tokenizer& tokenizer,
                                                       std::span<const std::int64_t> prompt,
                                                       const CompletionRewards& rewards,
                                                       const BestOfNOptions& options = {});

/// Answers to a conversation, judged with it by a reward model and its tokenizer, each through its own chat template.
POWERHOUSE_API std::vector<RankedCompletion> best_of_n(const CausalLM& model, const Tokenizer& tokenizer,
                                                       std::span<const Message> messages,
                                                       const SequenceClassifier& reward_model,
                                                       const Tokenizer& reward_tokenizer,
                                                       const BestOfNOptions& options = {});
POWERHOUSE_API std::vector<RankedCompletion> best_of_n(const CausalLM& model, const Tokenizer& tokenizer,
                                                       std::initializer_list<Message> messages,
                                                       const SequenceClassifier& reward_model,
                                                       const Tokenizer& reward_tokenizer,
                                                       const BestOfNOptions& options = {});

}  // namespace powerhouse
