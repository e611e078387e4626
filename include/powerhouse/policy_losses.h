// Group Relative Policy Optimization and its kin, and REINFORCE leave-one-out: several completions of each prompt are
// rewarded, and each is moved by how it compares with its siblings. TRL 1.16's formulas and names.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "powerhouse/completion_log_probs.h"

namespace powerhouse {

/// A term a token, and how the terms become one number. r = π/π_old, A the advantage, m tokens of a completion.
enum class GrpoLossType : std::uint8_t {
  grpo,     ///< -min(r A, clip(r) A); mean over completions of means over tokens (DeepSeekMath, arXiv 2402.03300)
  bnpo,     ///< the same; mean over all tokens of this batch
  dr_grpo,  ///< the same; sum / (completions x max_completion_length) (Liu et al. 2025, 2503.20783)
  dapo,     ///< the same; sum / num_items_in_batch, so that every token of a step counts alike (2503.14476)
  luspo,    ///< the same; mean over completions of sums; for ImportanceSampling::sequence (2602.05261)
  cispo,    ///< -min(r, epsilon_high) A log π, the ratio without gradient; as dapo. ScaleRL (2510.13786) has 5, and
            ///< MiniMax-M1's (2506.13585) bound 1 + ε is epsilon_high = 1 + ε here; its lower bound is none in both
  sapo,     ///< -4/τ σ(τ(r - 1)) A, τ by the sign of A, SAPO (2511.20347); as grpo
  vespo,    ///< -φ(w) A log π, φ a gamma weight of the sequence's ratio w, no gradient (2602.10693); as dapo
};
POWERHOUSE_API std::string_view to_string(GrpoLossType type) noexcept;
POWERHOUSE_API GrpoLossType parse_grpo_loss_type(std::string_view name);  ///< Error{usage} for an unknown name

enum class ImportanceSampling : std::uint8_t {
  token,     ///< a ratio a token
  sequence,  ///< exp of the mean log-ratio of the completion's tokens: GSPO (2507.18071)
};
/// Whose deviation divides advantages; none: Dr. GRPO. TRL's `true` and `false` are group and none.
enum class ScaleRewards : std::uint8_t { group, batch, none };
enum class RewardAggregation : std::uint8_t {
  sum_then_normalize,  ///< weighted rewards are added, then compared
  normalize_then_sum,  ///< each function's are compared in their group, then added and compared in the batch
                       ///< (2601.05242)
};
POWERHOUSE_API std::string_view to_string(ImportanceSampling level) noexcept;
POWERHOUSE_API std::string_view to_string(ScaleRewards scale) noexcept;
POWERHOUSE_API std::string_view to_string(RewardAggregation order) noexcept;
// Error{usage} for an unknown name.
POWERHOUSE_API ImportanceSampling parse_importance_sampling(std::string_view name);
POWERHOUSE_API ScaleRewards parse_scale_rewards(std::string_view name);
POWERHOUSE_API RewardAggregation parse_reward_aggregation(std::string_view name);

struct GrpoOptions {
  GrpoLossType loss_type = GrpoLossType::dapo;
  ImportanceSampling importance_sampling_level = ImportanceSampling::token;
  double beta = 0;                       ///< weight of the KL divergence from the reference
  bool use_bias_correction_kl = true;    ///< KL times r (DeepSeek-V3.2), as TRL; the GRPO paper's has no r: false
  double epsilon = 0.2;                  ///< r is clipped to [1 - epsilon, 1 + epsilon_high]
  std::optional<double> epsilon_high{};  ///< as epsilon where absent; DAPO: 0.28
  std::optional<double> delta{};  ///< upper bound of r also where A < 0 (INTELLECT-2), best above 1 + epsilon_high
  std::int64_t max_completion_length = 512;  ///< dr_grpo
  double sapo_temperature_pos = 1, sapo_temperature_neg = 1.05;
  double vespo_k_pos = 2, vespo_lambda_pos = 3, vespo_k_neg = 3, vespo_lambda_neg = 2;
  double top_entropy_quantile = 1;  ///< only this part of tokens, those of most entropy, moves the policy (2506.01939)
  double entropy_coef = 0;          ///< times the mean entropy of tokens, taken from the loss; entropy needs a gradient
  /// Completions of A < 0 are left out where the mean of log π_old - log π exceeds this (DeepSeek-V3.2).
  std::optional<double> off_policy_mask_threshold{};
  std::vector<double> reward_weights{};  ///< one a reward function; empty: 1 each
  ScaleRewards scale_rewards = ScaleRewards::group;
  RewardAggregation multi_objective_aggregation = RewardAggregation::sum_then_normalize;
};

template <typename Tensor>
struct BasicAdvantages {
  Tensor advantages{};  ///< as rewards' type, [completions]
  Metrics metrics{};    ///< reward, reward_std, frac_reward_zero_std
};
using Advantages = BasicAdvantages<at::Tensor>;

/// What each completion is better by than its group: (reward - mean) / (deviation + 1e-4), the deviation with n - 1 as
/// TRL takes it (the paper does not say, and has no 1e-4). `rewards` floating [completions] or [completions,
/// functions], groups of num_generations in a row. NaN is "this function does not apply": left out of sums and means; a
/// completion with NaN alone gets advantage 0. A group of equal rewards, or of one that counts, gets 0. Error{numeric}
/// for an infinite reward, or where all are NaN.
POWERHOUSE_API Advantages grpo_advantages(const at::Tensor& rewards, std::int64_t num_generations,
                                          const GrpoOptions& options = {});

/// What a batch of completions comes with, tokens as in the policy's log-probabilities; none gets a gradient.
template <typename Tensor>
struct BasicGrpoBatch {
  Tensor advantages{};     ///< floating [completions]
  Tensor old_log_probs{};  ///< [tokens], of the policy that sampled; undefined: the policy's own, r = 1
  Tensor ref_log_probs{};  ///< [tokens], for beta ≠ 0
  /// [tokens], trainer's over sampler's probability where they differ; or undefined
  Tensor importance_sampling_ratio{};
  std::int64_t num_items_in_batch = 0;  ///< tokens of the optimizer step (dapo, cispo, vespo); 0: of this batch
  std::int64_t accumulation_steps = 1;  ///< batches of the step: the other losses are divided by it
};
using GrpoBatch = BasicGrpoBatch<at::Tensor>;

/// The loss of completions. KL is Schulman's k3, exp(d) - d - 1 with d = log π_ref - log π. Empty completions add
/// nothing. Metrics: kl (beta ≠ 0), entropy where given, and by loss type
/// clip_ratio/{low_mean,low_min,high_mean,high_max, region_mean}, cispo_clip_ratio or vespo/phi_seq_mean; policy_loss
/// beside an entropy bonus.
POWERHOUSE_API LossResult grpo_loss(const CompletionLogProbs& policy, const GrpoBatch& batch,
                                    const GrpoOptions& options = {});

enum class RlooObjective : std::uint8_t {
  clipped,    ///< -min(r A, clip(r) A), r of whole sequences: TRL
  reinforce,  ///< -A log π(y|x): the paper (2402.14740). The same gradient where r = 1
};
POWERHOUSE_API std::string_view to_string(RlooObjective objective) noexcept;
POWERHOUSE_API RlooObjective parse_rloo_objective(std::string_view name);  ///< Error{usage} for an unknown name

struct RlooOptions {
  RlooObjective objective = RlooObjective::clipped;
  double beta = 0.05;  ///< times the sequence's log π_old - log π_ref, taken from its reward
  double epsilon = 0.2;
  std::optional<double> epsilon_high{};  ///< as epsilon where absent
  bool normalize_advantages = false;     ///< by mean and deviation of the batch
  std::optional<std::pair<double, double>> reward_clip_range{};
  std::vector<double> reward_weights{};  ///< one a reward function; empty: 1 each
};

/// Each reward less the mean of its siblings' (Ahmadian et al. 2024, arXiv 2402.14740). As grpo_advantages, NaN
/// included; `kl` floating [completions], sums of log π_old - log π_ref, undefined for beta = 0. A group of one gets 0.
POWERHOUSE_API Advantages rloo_advantages(const at::Tensor& rewards, const at::Tensor& kl, std::int64_t num_generations,
                                          const RlooOptions& options = {});

/// `old_sums`, `advantages` floating [completions], no gradient. Mean over completions.
/// Metrics: entropy where given, and clip_ratio/* as grpo_loss.
POWERHOUSE_API LossResult rloo_loss(const CompletionLogProbs& policy, const at::Tensor& old_sums,
                                    const at::Tensor& advantages, const RlooOptions& options = {});

/// Error{range} or Error{usage} for options that make no sense; the functions check as well.
POWERHOUSE_API void check(const GrpoOptions& options);
POWERHOUSE_API void check(const RlooOptions& options);

}  // namespace powerhouse
