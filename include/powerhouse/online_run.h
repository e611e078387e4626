// What a run's YAML says of `rl: grpo`, `rloo` and `ppo`: training_run.h.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace powerhouse {

/// One field a key, under TRL's name and with its meaning; what is absent is the method's own default (online.h). A key
/// that the method does not have is Error{format}.
struct OnlineRun {
  // Rewards; one is required.
  std::string reward_model_path{};  ///< a folder with a head of one number; comes first
  /// More such folders, and TRL's functions: "think_format_reward", "get_soft_overlong_punishment",
  /// "get_repetition_penalty_reward" (verifiable_rewards.h). Rows' columns are for functions in C++ alone.
  std::vector<std::string> reward_funcs{};
  std::vector<double> reward_weights{};             ///< of grpo and rloo: one for each
  std::optional<std::int64_t> soft_punish_cache{};  ///< of get_soft_overlong_punishment; default: 256
  std::optional<std::int64_t> ngram_size{};         ///< of get_repetition_penalty_reward; default: 3
  std::optional<double> max_penalty{};              ///< of the same; default: -1

  // Sampling: OnlineOptions.
  std::optional<std::int64_t> num_generations{}, num_generations_eval{};
  std::optional<std::int64_t> max_completion_length{};  ///< also `response_length`
  std::optional<double> temperature{}, top_p{}, min_p{}, repetition_penalty{};
  std::optional<std::int64_t> top_k{};
  std::optional<std::int64_t> steps_per_generation{};  ///< of grpo and rloo
  std::optional<std::int64_t> num_mini_batches{};      ///< of ppo: steps on a generation's completions
  std::optional<std::int64_t> num_iterations{};        ///< also `num_ppo_epochs`
  std::optional<bool> mask_truncated_completions{};

  // Losses: GrpoOptions, RlooOptions.
  std::optional<double> epsilon{}, epsilon_high{}, delta{};
  std::string importance_sampling_level{}, scale_rewards{}, multi_objective_aggregation{};
  std::optional<bool> use_bias_correction_kl{};
  std::optional<double> sapo_temperature_pos{}, sapo_temperature_neg{};
  std::optional<double> vespo_k_pos{}, vespo_lambda_pos{}, vespo_k_neg{}, vespo_lambda_neg{};
  std::optional<double> top_entropy_quantile{}, off_policy_mask_threshold{};
  std::optional<double> entropy_coef{};  ///< of grpo, and (ours) of ppo
  std::string rloo_objective{};          ///< ours
  std::optional<bool> normalize_advantages{};
  std::vector<double> reward_clip_range{};

  // PpoOptions.
  std::string value_model{};  ///< ours: a folder or file, trained along; empty: the first reward model
  std::optional<double> kl_coef{}, gamma{}, lam{}, cliprange{}, vf_coef{}, missing_eos_penalty{};
  std::string kl_estimator{};
  std::optional<double> cliprange_value{};  ///< 0 (ours): none
  std::optional<bool> whiten_rewards{}, whiten_advantages{};
};

}  // namespace powerhouse
