// The rows of honoured keys of grpo, rloo and ppo.
#include <array>

#include "training/run_online.h"

namespace powerhouse {
namespace {

using O = OnlineRun;

void read_weights(TrainingRun& run, const YamlValue& value, const std::string& field) {
  if (!value.is_null()) run.online.reward_weights = yaml_numbers(value, field);
}

void read_clip_range(TrainingRun& run, const YamlValue& value, const std::string& field) {
  if (!value.is_null()) run.online.reward_clip_range = yaml_numbers(value, field);
}

// A word, or TRL's older true and false.
void read_scale(TrainingRun& run, const YamlValue& value, const std::string& field) {
  if (value.is_null()) return;
  for (const char* word : {"group", "batch", "none"}) {
    if (value.text == word) run.online.scale_rewards = word;
  }
  if (run.online.scale_rewards == value.text && !value.text.empty()) return;
  try {
    run.online.scale_rewards = yaml_bool(value, field) ? "group" : "none";
  } catch (const Error&) {
    throw wrong_value(value, field, "group, batch, none, true or false");
  }
}

}  // namespace

std::span<const RunKey> online_keys() {
  static const std::array keys{
      RunKey{.name = "reward_model_path",
             .field = &O::reward_model_path,
             .help = "grpo, rloo, ppo: a folder with a head of one number that judges completions",
             .methods = "grpo|rloo|ppo"},
      RunKey{.name = "reward_funcs",
             .field = &O::reward_funcs,
             .help = "more such folders, or TRL's think_format_reward, get_soft_overlong_punishment, "
                     "get_repetition_penalty_reward",
             .methods = "grpo|rloo|ppo"},
      RunKey{
          .name = "reward_weights",
          .field = KeyReader{read_weights, [](const TrainingRun& run) { return !run.online.reward_weights.empty(); }},
          .help = "one for each reward; default: 1",
          .methods = "grpo|rloo"},
      RunKey{
          .name = "soft_punish_cache",
          .field = &O::soft_punish_cache,
          .help = "get_soft_overlong_punishment: tokens before max_completion_length that are punished; default: 256",
          .methods = "grpo|rloo|ppo"},
      RunKey{.name = "ngram_size",
             .field = &O::ngram_size,
             .help = "get_repetition_penalty_reward; default: 3",
             .low = 1,
             .methods = "grpo|rloo|ppo"},
      RunKey{.name = "max_penalty",
             .field = &O::max_penalty,
             .help = "get_repetition_penalty_reward: of a completion that repeats itself; default: -1",
             .low = -kUnbounded,
             .high = 0,
             .methods = "grpo|rloo|ppo"},
      RunKey{.name = "num_generations",
             .field = &O::num_generations,
             .help = "completions of a prompt; default: 8, of rloo 2, of ppo 1",
             .low = 1,
             .methods = "grpo|rloo|ppo"},
      RunKey{.name = "num_generations_eval",
             .field = &O::num_generations_eval,
             .help = "in evaluation; default: num_generations",
             .low = 1,
             .methods = "grpo|rloo|ppo"},
      RunKey{.name = "max_completion_length",
             .field = &O::max_completion_length,
             .help = "tokens of a completion; also `response_length`; default: 512",
             .low = 1,
             .methods = "grpo|rloo|ppo"},
      RunKey{.name = "temperature",
             .field = &O::temperature,
             .help = "of sampling, and of log-probabilities; default: 1",
             .methods = "grpo|rloo|ppo"},
      RunKey{.name = "top_p", .field = &O::top_p, .help = "default: 1", .high = 1, .methods = "grpo|rloo|ppo"},
      RunKey{.name = "top_k", .field = &O::top_k, .help = "default: 0, off", .methods = "grpo|rloo|ppo"},
      RunKey{.name = "min_p", .field = &O::min_p, .help = "default: 0, off", .high = 1, .methods = "grpo|rloo|ppo"},
      RunKey{.name = "repetition_penalty",
             .field = &O::repetition_penalty,
             .help = "default: 1",
             .methods = "grpo|rloo|ppo"},
      RunKey{.name = "steps_per_generation",
             .field = &O::steps_per_generation,
             .help = "micro batches that are sampled at once; default: gradient_accumulation_steps",
             .low = 1,
             .methods = "grpo|rloo"},
      RunKey{.name = "num_mini_batches",
             .field = &O::num_mini_batches,
             .help = "ppo: steps that a generation's completions make; default: 1",
             .low = 1,
             .methods = "ppo"},
      RunKey{.name = "num_iterations",
             .field = &O::num_iterations,
             .help = "how often a generation is learnt from; also `num_ppo_epochs`; default: 1, of ppo 4",
             .low = 1,
             .methods = "grpo|rloo|ppo"},
      RunKey{.name = "mask_truncated_completions",
             .field = &O::mask_truncated_completions,
             .help = "do not learn from completions without EOS",
             .methods = "grpo|rloo"},
      RunKey{.name = "epsilon",
             .field = &O::epsilon,
             .help = "ratios are clipped to 1 - epsilon; default: 0.2",
             .methods = "grpo|rloo"},
      RunKey{.name = "epsilon_high",
             .field = &O::epsilon_high,
             .help = "and to 1 + epsilon_high; default: epsilon",
             .methods = "grpo|rloo"},
      RunKey{.name = "delta", .field = &O::delta, .help = "a second bound of ratios", .methods = "grpo"},
      RunKey{.name = "importance_sampling_level",
             .field = &O::importance_sampling_level,
             .help = "default: token; sequence: GSPO",
             .choices = "token|sequence",
             .methods = "grpo"},
      RunKey{.name = "scale_rewards",
             .field = KeyReader{read_scale, [](const TrainingRun& run) { return !run.online.scale_rewards.empty(); }},
             .help = "whose deviation divides advantages: group, batch, none; default: group",
             .methods = "grpo"},
      RunKey{.name = "multi_objective_aggregation",
             .field = &O::multi_objective_aggregation,
             .help = "of several rewards; default: sum_then_normalize",
             .choices = "sum_then_normalize|normalize_then_sum",
             .methods = "grpo"},
      RunKey{.name = "use_bias_correction_kl",
             .field = &O::use_bias_correction_kl,
             .help = "the divergence times the ratio; default: true",
             .methods = "grpo"},
      RunKey{.name = "sapo_temperature_pos", .field = &O::sapo_temperature_pos, .help = "sapo", .methods = "grpo"},
      RunKey{.name = "sapo_temperature_neg", .field = &O::sapo_temperature_neg, .help = "sapo", .methods = "grpo"},
      RunKey{.name = "vespo_k_pos", .field = &O::vespo_k_pos, .help = "vespo", .methods = "grpo"},
      RunKey{.name = "vespo_lambda_pos", .field = &O::vespo_lambda_pos, .help = "vespo", .methods = "grpo"},
      RunKey{.name = "vespo_k_neg", .field = &O::vespo_k_neg, .help = "vespo", .methods = "grpo"},
      RunKey{.name = "vespo_lambda_neg", .field = &O::vespo_lambda_neg, .help = "vespo", .methods = "grpo"},
      RunKey{.name = "top_entropy_quantile",
             .field = &O::top_entropy_quantile,
             .help = "learn from this share of tokens, those of most entropy; default: 1",
             .high = 1,
             .methods = "grpo"},
      RunKey{.name = "off_policy_mask_threshold",
             .field = &O::off_policy_mask_threshold,
             .help = "leave bad completions out that the policy has moved away from",
             .methods = "grpo"},
      RunKey{.name = "entropy_coef",
             .field = &O::entropy_coef,
             .help = "times the mean entropy of tokens, taken from the loss; default: 0",
             .low = -kUnbounded,
             .methods = "grpo|ppo"},
      RunKey{.name = "rloo_objective",
             .field = &O::rloo_objective,
             .help = "default: clipped; reinforce: the paper's (not TRL's)",
             .choices = "clipped|reinforce",
             .methods = "rloo"},
      RunKey{.name = "normalize_advantages",
             .field = &O::normalize_advantages,
             .help = "by mean and deviation of the batch",
             .methods = "rloo"},
      RunKey{.name = "reward_clip_range",
             .field = KeyReader{read_clip_range,
                                [](const TrainingRun& run) { return !run.online.reward_clip_range.empty(); }},
             .help = "two numbers that rewards are held between",
             .methods = "rloo"},
      RunKey{.name = "value_model",
             .field = &O::value_model,
             .help = "ppo: a folder or file, trained along; default: the first reward model (not TRL's)",
             .methods = "ppo"},
      RunKey{.name = "kl_coef", .field = &O::kl_coef, .help = "default: 0.05", .methods = "ppo"},
      RunKey{.name = "kl_estimator",
             .field = &O::kl_estimator,
             .help = "default: k1",
             .choices = "k1|k2|k3",
             .methods = "ppo"},
      RunKey{.name = "gamma", .field = &O::gamma, .help = "discount; default: 1", .high = 1, .methods = "ppo"},
      RunKey{.name = "lam", .field = &O::lam, .help = "lambda of GAE; default: 0.95", .high = 1, .methods = "ppo"},
      RunKey{.name = "cliprange", .field = &O::cliprange, .help = "of the ratio; default: 0.2", .methods = "ppo"},
      RunKey{.name = "cliprange_value",
             .field = &O::cliprange_value,
             .help = "of values; default: 0.2; 0: none",
             .methods = "ppo"},
      RunKey{.name = "vf_coef", .field = &O::vf_coef, .help = "of the value loss; default: 0.1", .methods = "ppo"},
      RunKey{.name = "missing_eos_penalty",
             .field = &O::missing_eos_penalty,
             .help = "taken from the score of a completion that did not end",
             .methods = "ppo"},
      RunKey{.name = "whiten_rewards", .field = &O::whiten_rewards, .help = "default: false", .methods = "ppo"},
      RunKey{.name = "whiten_advantages", .field = &O::whiten_advantages, .help = "default: true", .methods = "ppo"},
  };
  return keys;
}

}  // namespace powerhouse
