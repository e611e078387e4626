// Direct Preference Optimization (Rafailov et al. 2023, arXiv 2305.18290) and its kin, by TRL 1.16's formulas and
// names.
//
// u = log π(y|x) - log π_ref(y|x) is a completion's log-ratio, Δ the difference of the pair's scores s(u), chosen minus
// rejected. Every loss is the mean over pairs of a function of these; docs/alignment.md has the formulas in one table.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "powerhouse/completion_log_probs.h"

namespace powerhouse {

/// The first fifteen are TRL's; the last two are forms of papers that TRL departs from.
enum class DpoLossType : std::uint8_t {
  sigmoid,   ///< -log σ(βΔ): DPO. Label smoothing does nothing here, as in TRL: cdpo has it
  hinge,     ///< max(0, 1 - βΔ): SLiC (2305.10425), RSO
  ipo,       ///< (δ - 1/(2β))², δ of scores divided by completion lengths; the paper (2310.12036): ipo_sum
  exo_pair,  ///< KL of σ(±βΔ) from (1-ε, ε): EXO (2402.00856), ε = label_smoothing > 0
  nca_pair,  ///< -log σ(βu_c) - ½ log σ(-βu_c) - ½ log σ(-βu_r): NCA (2402.05369) of two responses
  robust,    ///< ((1-ε) L - ε L̄) / (1-2ε): rDPO (2403.00409), ε = label_smoothing < ½ the rate of flipped labels
  bco_pair,  ///< -log σ(βu_c - shift) - log σ(-(βu_r - shift)): BCO (2404.04656), see bco_reward_shift
  sppo_hard,     ///< (u_c - 1/(2β))² + (u_r + 1/(2β))²: SPPO (2405.00675) with certain preferences
  aot,           ///< sorted margins of policy and reference compared: AOT (2406.05882), with label_smoothing
  aot_unpaired,  ///< sorted u_c and u_r compared, with label_smoothing
  apo_zero,      ///< 1 - σ(βu_c) + σ(βu_r): APO (2408.06266), which has no constant 1
  apo_down,      ///< σ(βu_c) + 1 - σ(β(u_c - u_r)): APO, without the constant there
  discopop,      ///< logistic and exponential loss mixed by σ(βΔ/τ): DiscoPOP (2406.08414)
  sft,           ///< -mean log-probability of all tokens of chosen completions, for combinations
  sigmoid_norm,  ///< -log σ(βδ), δ of scores divided by completion lengths (Tulu 3, 2411.15124)
  ipo_sum,       ///< (Δ - 1/(2β))², IPO as its paper has it: sums, so that long completions weigh more
  cdpo,  ///< -(1-ε) log σ(βΔ) - ε log σ(-βΔ): conservative DPO (Mitchell 2023), TRL's `sigmoid` before 1.0
};
POWERHOUSE_API std::string_view to_string(DpoLossType type) noexcept;
POWERHOUSE_API DpoLossType parse_dpo_loss_type(std::string_view name);  ///< Error{usage} for an unknown name

/// The divergence that keeps the policy near the reference (f-DPO, Wang et al. 2023, 2309.16240), as the score s(u).
enum class FDivergence : std::uint8_t {
  reverse_kl,        ///< u
  forward_kl,        ///< 1 - exp(-u)
  js_divergence,     ///< log 2 + log σ(u)
  alpha_divergence,  ///< (exp((α-1)u) - 1) / (α-1), the exponent at most 80 as TRL has it in float32; α = 1: u
};
POWERHOUSE_API std::string_view to_string(FDivergence divergence) noexcept;
POWERHOUSE_API FDivergence parse_f_divergence(std::string_view name);  ///< Error{usage} for an unknown name

struct DpoOptions {
  std::vector<DpoLossType> loss_type{DpoLossType::sigmoid};  ///< several are added up (MPO)
  std::vector<double> loss_weights{};                        ///< one for each loss type; empty: 1 each
  double beta = 0.1;                                         ///< above 0; ipo's τ
  double label_smoothing = 0;                                ///< ε of exo_pair, robust, aot, aot_unpaired and cdpo
  FDivergence f_divergence_type = FDivergence::reverse_kl;   ///< others: for losses of Δ or δ, and sft
  double f_alpha_divergence_coef = 0.5;                      ///< α of alpha_divergence
  /// LD-DPO (2409.06411): tokens beyond the shorter completion's length count this much, [0, 1]. The reference's sums
  /// must be made with it too: pair_sums.
  std::optional<double> ld_alpha{};
  /// WPO (2406.11827): each pair is weighted by the policy's probability of it, exp of the mean over tokens of
  /// log p - log Σp², chosen times rejected, without a gradient. Needs log_sum_sq_probs; not with aot, aot_unpaired,
  /// sft.
  bool use_weighting = false;
  double discopop_tau = 0.05;  ///< τ, above 0
  /// bco_pair: the paper's δ, a running mean of all rewards that the caller keeps. TRL 1.16 has none: 0.
  double bco_reward_shift = 0;
};

/// Error{range} or Error{usage} for options that make no sense; dpo_loss checks as well.
POWERHOUSE_API void check(const DpoOptions& options);

/// Sums of log-probabilities of each pair, LD-DPO's weights applied: what dpo_loss needs of the reference, and what a
/// cache of it holds.
POWERHOUSE_API PairSums pair_sums(const PairLogProbs& pairs, std::optional<double> ld_alpha = {});

/// The loss of a batch of pairs. `reference` as pair_sums makes it, floating [pairs], no gradient taken. A sum may
/// stand for a completion of one token where nothing counts tokens (not ipo, sft, sigmoid_norm, ld_alpha,
/// use_weighting).
///
/// An empty completion has the log-ratio 0; ipo and sigmoid_norm divide it by 1; sft without any chosen token is
/// Error{numeric}. Identical completions give each loss's value at Δ = 0. Metrics: rewards/chosen, rewards/rejected
/// (β u), rewards/accuracies, rewards/margins, logps/chosen, logps/rejected, and entropy where it is given.
POWERHOUSE_API LossResult dpo_loss(const PairLogProbs& policy, const PairSums& reference,
                                   const DpoOptions& options = {});

}  // namespace powerhouse
