// Preference losses without pairs or without a reference model, and the reward model's own: ORPO, KTO, CPO, SimPO,
// Bradley-Terry. Formulas and names are TRL 1.16's; where a paper differs, an option has its form.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "powerhouse/completion_log_probs.h"

namespace powerhouse {

/// What the supervised part of ORPO is the mean over, across the batch.
enum class OrpoNll : std::uint8_t {
  prompt_and_completion,  ///< all tokens of prompts and chosen completions but each first: TRL and the authors' code
  completion,             ///< tokens of chosen completions: the paper's L_SFT
};
POWERHOUSE_API std::string_view to_string(OrpoNll tokens) noexcept;
POWERHOUSE_API OrpoNll parse_orpo_nll(std::string_view name);  ///< Error{usage} for an unknown name

struct OrpoOptions {
  double beta = 0.1;  ///< the paper's λ, at least 0
  OrpoNll nll = OrpoNll::prompt_and_completion;
};

/// ORPO (Hong et al. 2024, arXiv 2403.07691): L = NLL - β mean log σ(log odds ratio), the odds p / (1 - p) of
/// p = exp(mean log-probability of a completion's tokens). No reference. TRL takes logarithms in float32; here they are
/// of the input's type. A mean of exactly 0 counts as the nearest probability below 1.
/// `prompt_log_probs` floating [tokens]: of all prompts' tokens, a pair's prompt once, for
/// OrpoNll::prompt_and_completion. Metrics: rewards/* (β times the mean log-probability), logps/* (means), nll_loss,
/// log_odds_ratio, log_odds_chosen.
POWERHOUSE_API LossResult orpo_loss(const PairLogProbs& policy, const at::Tensor& prompt_log_probs,
                                    const OrpoOptions& options = {});

enum class KtoLossType : std::uint8_t {
  kto,                ///< 1 - σ(β(u - z)) for desirable, 1 - σ(β(z - u)) for undesirable completions
  apo_zero_unpaired,  ///< z = 0: APO-zero (2408.06266) without pairs
};
POWERHOUSE_API std::string_view to_string(KtoLossType type) noexcept;
POWERHOUSE_API KtoLossType parse_kto_loss_type(std::string_view name);  ///< Error{usage} for an unknown name

struct KtoOptions {
  KtoLossType loss_type = KtoLossType::kto;
  double beta = 0.1;  ///< above 0
  double desirable_weight = 1, undesirable_weight = 1;
};

/// KTO's z, scalar, without a gradient: the mean log-ratio of completions put to prompts that are not theirs, at least
/// 0. Both floating [completions]. TRL takes the completion of the row before in the batch. Error{usage} where there
/// are none.
POWERHOUSE_API at::Tensor kto_kl(const at::Tensor& policy_sums, const at::Tensor& reference_sums);

/// KTO (Ethayarajh et al. 2024, arXiv 2402.01306). `reference_sums` floating [completions]; `desirable` one a
/// completion; `kl` from kto_kl, undefined for apo_zero_unpaired. The loss is the mean over completions; as with TRL's
/// nanmean, one whose log-ratio is NaN is left out, but here of the gradient too, and the metric `skipped` counts them.
/// Error{numeric} where all are, or one is infinite. One label alone is no error: the other's metrics are absent.
/// Metrics: kl, rewards/chosen, rewards/rejected, logps/chosen, logps/rejected, rewards/margins where both labels are.
POWERHOUSE_API LossResult kto_loss(const CompletionLogProbs& policy, const at::Tensor& reference_sums,
                                   const std::vector<bool>& desirable, const at::Tensor& kl,
                                   const KtoOptions& options = {});

enum class CpoLossType : std::uint8_t {
  sigmoid,  ///< -log σ(β(log π(y_c) - log π(y_r))): CPO, with label_smoothing
  hinge,    ///< max(0, 1 - β(...)): SLiC
  ipo,      ///< (... - 1/(2β))², of means
  simpo,  ///< -log σ(β(...) - γ), of means: SimPO, with label_smoothing. Its paper has no NLL: cpo_alpha = 0, β 2 to 10
};
POWERHOUSE_API std::string_view to_string(CpoLossType type) noexcept;

/// The supervised part of CPO.
enum class CpoNll : std::uint8_t {
  token_mean,    ///< over all tokens of chosen completions in the batch: TRL
  sequence_sum,  ///< -E[log π(y_c|x)]: the paper
};
POWERHOUSE_API std::string_view to_string(CpoNll tokens) noexcept;
POWERHOUSE_API CpoNll parse_cpo_nll(std::string_view name);  ///< Error{usage} for an unknown name

struct CpoOptions {
  CpoLossType loss_type = CpoLossType::sigmoid;
  double beta = 0.1;  ///< above 0
  double label_smoothing = 0;
  double cpo_alpha = 1;      ///< weight of the NLL of chosen completions
  double simpo_gamma = 0.5;  ///< γ, the margin of simpo
  /// AlphaPO (2501.03884): with α ≠ 0 a completion's reward is (1 - p^-α) / α instead of log p, in every loss type.
  double alpha = 0;
  CpoNll nll = CpoNll::token_mean;
};

/// Sets options.loss_type by name. TRL's `alphapo` is simpo with cpo_alpha 0. Error{usage} for an unknown name.
POWERHOUSE_API void set_cpo_loss_type(CpoOptions& options, std::string_view name);

/// CPO (Xu et al. 2024, arXiv 2401.08417), SimPO (Meng et al. 2024, 2405.14734): no reference. Loss types of means are
/// Error{numeric} for an empty completion, and so is cpo_alpha without any chosen token.
/// Metrics: rewards/*, logps/chosen, logps/rejected (sums, or means where the loss takes them), nll_loss.
POWERHOUSE_API LossResult cpo_loss(const PairLogProbs& policy, const CpoOptions& options = {});

struct RewardOptions {
  /// Adds this times mean((r_c + r_r)²), so that rewards stay around 0 (Eisenstein et al. 2023, 2312.09244): 0.01.
  std::optional<double> center_rewards_coefficient{};
  bool disable_dropout = true;  ///< in training (the loss knows none)
};

/// A reward model's loss, Bradley-Terry: -mean log σ(r_c - r_r - margin) (Ouyang et al. 2022, 2203.02155; margin:
/// Llama 2, 2307.09288). All floating [pairs]; `margin` may be undefined. Error{numeric} for a reward that is not
/// finite. Metrics: min_reward, mean_reward, max_reward, accuracy, margin.
POWERHOUSE_API LossResult reward_loss(const at::Tensor& chosen, const at::Tensor& rejected, const at::Tensor& margin,
                                      const RewardOptions& options = {});

/// Error{range} for options out of their bounds; the losses check as well.
POWERHOUSE_API void check(const OrpoOptions& options);
POWERHOUSE_API void check(const KtoOptions& options);
POWERHOUSE_API void check(const CpoOptions& options);
POWERHOUSE_API void check(const RewardOptions& options);

}  // namespace powerhouse
