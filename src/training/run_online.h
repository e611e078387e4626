// The keys of a run that learns from its own completions (grpo, rloo, ppo): what they mean together, as options of the
// trainer, and the models that judge.
#pragma once

#include <deque>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "powerhouse/online.h"
#include "powerhouse/prompt_dataset.h"
#include "powerhouse/training_run.h"
#include "training/run_config.h"

namespace powerhouse {

/// Whether `rl` is one of these methods.
bool is_online(const std::string& rl);

/// Error{format} naming `origin` for keys of these methods without them, and for values that they do not take.
void check_online(const TrainingRun& run, const std::string& origin);

/// A part of run_keys().
std::span<const RunKey> online_keys();

OnlineMethod online_method(const TrainingRun& run);
/// Without the value and the reference model.
OnlineOptions online_options(const TrainingRun& run);
PromptDatasetOptions prompt_dataset_options(const TrainingRun& run);
/// Whether the loss or the reward of the method compares with a reference model.
bool online_has_reference(const TrainingRun& run);

/// The functions of a run, in the order of its weights, and the models that they ask.
struct RunRewards {
  std::deque<SequenceClassifier> models{};
  std::vector<RewardFunction> functions{};
};
/// `policy` says in which type reward models compute. Error{usage} for a head of more than one number.
RunRewards run_rewards(const TrainingRun& run, const CausalLM& policy);

/// PPO's value model, trained as the policy is (whole, or by an adapter of the same options); nothing of the others.
/// Error{usage} for one that takes other tokens.
std::optional<SequenceClassifier> run_value_model(const TrainingRun& run, const CausalLM& policy,
                                                  const Tokenizer& tokenizer);

}  // namespace powerhouse
