// Training on what the model answers itself: it samples completions of prompts, reward functions judge them, and GRPO,
// RLOO or PPO makes the better ones likelier. Formulas: policy_losses.h and ppo_loss.h; the loop: trainer.h.
//
//     const RewardFunction brief{"brief", [](std::span<const Completion> all) {
//       std::vector<double> rewards;
//       for (const Completion& one : all) rewards.push_back(one.text.size() < 40 ? 1 : 0);
//       return rewards;
//     }};
//     model.add_adapter("grpo", {.rank = 16, .alpha = 32});
//     Trainer(model, prompts, GrpoOptions{}, {brief}, {.max_completion_length = 64}, {.micro_batch_size = 8}).train();
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "powerhouse/policy_losses.h"
#include "powerhouse/ppo_loss.h"
#include "powerhouse/sequence_classifier.h"
#include "powerhouse/tokenizer.h"

namespace powerhouse {

/// A sampled completion as a reward function sees it.
struct Completion {
  std::string prompt{};  ///< as in Prompt: text, or JSON of messages
  bool conversational = false;
  std::vector<std::int64_t> prompt_ids{};
  std::string text{};               ///< without special tokens
  std::vector<std::int64_t> ids{};  ///< sampled tokens, EOS included
  bool ended = false;               ///< an end-of-sequence token came
  /// The row's other columns, e.g. "answer": texts as they are, all else as JSON.
  std::map<std::string, std::string> columns{};
};

/// Judges all completions of a generation, a number each, in their order: groups of num_generations of one prompt.
/// NaN says that it does not apply to a completion (TRL's None): that one is left out of the function's sums and means.
/// Another number of rewards than of completions is Error{usage}; an infinite one, or nothing but NaN from all
/// functions for all completions, is Error{numeric}. Must depend on nothing but its argument where a resumed run is to
/// be the same bits. Called on the thread that trains.
struct RewardFunction {
  std::string name{};  ///< in metrics: rewards/<name>/mean
  std::function<std::vector<double>(std::span<const Completion>)> judge{};
};

/// A reward model's judgement: of conversations through the tokenizer's chat template (the completion is the
/// assistant's message), else of prompt and completion as plain text with EOS behind where the completion ended.
/// `model` must outlive the function.
POWERHOUSE_API RewardFunction reward_function(std::string name, const SequenceClassifier& model, Tokenizer tokenizer);

using OnlineMethod = std::variant<GrpoOptions, RlooOptions, PpoOptions>;

/// How completions are sampled and used, under TRL's names and with its defaults.
///
/// A micro batch is micro_batch_size completions. A generation samples steps_per_generation micro batches at once, by
/// num_generations completions of each prompt, all of them a batch of sequences that share their prompt's cache; its
/// micro batches, in random order, are then trained on num_iterations times. Of PPO, steps_per_generation is
/// gradient_accumulation_steps times TRL's num_mini_batches; the score comes with the last token, as in the papers.
///
/// Log-probabilities are those at the sampling temperature, of all tokens (top_k and the like are not seen, as in TRL).
/// Those of the policy that sampled are the sampler's own in exact numerics, where the trainer finds the same bits: the
/// importance ratio is exactly 1 until the first step on them. In fast numerics they differ in the last bits; there
/// they are computed by the trainer once more, before that step, or not needed (each step samples anew), and how far
/// the sampler was off is the metric sampling/sampling_logp_difference.
struct OnlineOptions {
  /// Completions of each prompt: 8 for GRPO, 2 for RLOO, 1 for PPO, where absent.
  std::optional<std::int64_t> num_generations{};
  std::optional<std::int64_t> num_generations_eval{};  ///< where absent, as num_generations
  std::int64_t max_completion_length = 512;            ///< tokens; also GrpoOptions::max_completion_length
  float temperature = 1;                               ///< above 0
  float top_p = 1;
  std::int64_t top_k = 0;
  float min_p = 0;
  float repetition_penalty = 1;
  std::int64_t steps_per_generation = 0;  ///< micro batches; 0: gradient_accumulation_steps
  /// How often a generation is learnt from: μ of GRPO's paper, num_ppo_epochs of PPO; 1, for PPO 4, where absent. PPO
  /// takes the completions in another order each time.
  std::optional<std::int64_t> num_iterations{};
  bool mask_truncated_completions = false;  ///< those without EOS are rewarded, but not learnt from (DAPO)
  bool disable_dropout = false;             ///< of adapters, in training; sampling has none

  /// PPO's, and only PPO's: one label, whose head says at each token what the state is worth; trained along with the
  /// policy, by the same optimizer. It must outlive the trainer, and what of it requires gradients is kept in
  /// checkpoints (value_model.safetensors).
  SequenceClassifier* value_model = nullptr;

  // The reference model, for beta (PPO: kl_coef) other than 0: as AlignmentOptions (preference.h).
  CausalLM* ref_model = nullptr;
  bool sync_ref_model = false;
  double ref_model_mixup_alpha = 0.6;
  std::int64_t ref_model_sync_steps = 512;
};

}  // namespace powerhouse
