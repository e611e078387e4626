// Proximal Policy Optimization for language models: Schulman et al. 2017 (arXiv 1707.06347) with generalized advantage
// estimation (1506.02438), the per-token KL penalty of Ziegler et al. 2019 (1909.08593) and InstructGPT (2203.02155).
// Names and defaults are those of TRL's PPOTrainer (to 0.29), which TRL 1.16 no longer has.
//
// All is packed: position t of a completion is the state before its token t, and the action is that token.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "powerhouse/completion_log_probs.h"

namespace powerhouse {

/// Estimates of KL(π | π_ref) from one sampled token, with d = log π_ref - log π (Schulman 2020).
enum class KlEstimator : std::uint8_t {
  k1,  ///< -d: unbiased, may be negative. TRL's default
  k2,  ///< d² / 2
  k3,  ///< exp(d) - 1 - d: unbiased, never negative
};
POWERHOUSE_API std::string_view to_string(KlEstimator estimator) noexcept;
POWERHOUSE_API KlEstimator parse_kl_estimator(std::string_view name);  ///< Error{usage} for an unknown name

/// Elementwise, of the inputs' type and shape; differentiable.
POWERHOUSE_API at::Tensor kl_estimate(const at::Tensor& log_probs, const at::Tensor& ref_log_probs,
                                      KlEstimator estimator = KlEstimator::k3);

/// (x - mean) / sqrt(variance + 1e-8) over positions where `mask` (bool, or undefined: all) holds, variance with n - 1;
/// 0 elsewhere. Without shift_mean the mean is added again. One position: as if the variance were 0.
POWERHOUSE_API at::Tensor masked_whiten(const at::Tensor& values, const at::Tensor& mask, bool shift_mean = true);

struct PpoOptions {
  double kl_coef = 0.05;
  KlEstimator kl_estimator = KlEstimator::k1;
  double gamma = 1, lam = 0.95;  ///< discount and λ of GAE, [0, 1]
  double cliprange = 0.2;        ///< of the ratio π/π_old
  std::optional<double> cliprange_value =
      0.2;                      ///< of V around V_old, as OpenAI's baselines; absent: the paper's square
  double vf_coef = 0.1;         ///< times ½ mean (V - return)²: the paper's c1 is half of it
  double entropy_coef = 0;      ///< the paper's c2, of the mean entropy; TRL has none
  bool whiten_rewards = false;  ///< to deviation 1, without a shift
  bool whiten_advantages = true;
  std::optional<double> missing_eos_penalty{};  ///< taken from the score of a completion that did not end
};

/// What was sampled and how it was judged: positions packed by cu_seqlens, floating, no gradient taken.
template <typename Tensor>
struct BasicPpoRollout {
  std::vector<std::int64_t> cu_seqlens{0};
  Tensor log_probs{}, ref_log_probs{};  ///< [positions], of the policy that sampled and the reference
  Tensor values{};                      ///< [positions], of the value model
  Tensor scores{};                      ///< [completions], of the reward model; added at each last position
  std::vector<bool> ended{};  ///< [completions], whether an end-of-sequence token came; for missing_eos_penalty
  /// bool [positions], false where there is a state but no action. Undefined: all are actions, and the score comes with
  /// the last token, as in the papers. TRL's trainer gives a completion that ended before the longest length one state
  /// more, whose value is learnt and to which the score comes: such a last position is false here.
  Tensor is_action{};
};
using PpoRollout = BasicPpoRollout<at::Tensor>;

template <typename Tensor>
struct BasicPpoTargets {
  Tensor rewards{};     ///< [positions], -kl_coef KL, and the score at the last; whitened if asked for
  Tensor advantages{};  ///< [positions], whitened if asked for; 0 where there is no action
  Tensor returns{};     ///< [positions], advantages (before whitening) + values
  /// objective/kl, objective/entropy (of -log π), objective/non_score_reward, objective/rlhf_reward, objective/scores:
  /// means over completions of sums over tokens.
  Metrics metrics{};
};
using PpoTargets = BasicPpoTargets<at::Tensor>;

/// A_t = Σ (γλ)^k δ_{t+k}, δ_t = r_t + γ V_{t+1} - V_t with V = 0 behind the last position: floating [positions].
POWERHOUSE_API at::Tensor generalized_advantages(const at::Tensor& rewards, const at::Tensor& values,
                                                 const std::vector<std::int64_t>& cu_seqlens, double gamma, double lam);

/// Rewards, advantages and returns of a rollout, to learn from in several epochs. A completion without positions, and a
/// score or log-probability that is not finite, is Error{numeric}.
POWERHOUSE_API PpoTargets ppo_targets(const PpoRollout& rollout, const PpoOptions& options = {});

/// Part of a rollout to learn from: floating [positions] each.
template <typename Tensor>
struct BasicPpoBatch {
  Tensor old_log_probs{}, old_values{}, advantages{}, returns{};  ///< no gradient taken
  Tensor is_action{};                                             ///< as in PpoRollout
  Tensor entropy{};  ///< of the policy at hand, for its metric, or with a gradient for entropy_coef; or undefined
};
using PpoBatch = BasicPpoBatch<at::Tensor>;

/// mean max(-A r, -A clip(r)) over actions + vf_coef ½ mean max((V - R)², (clip(V) - R)²) over positions. `log_probs`
/// and `values` differentiable [positions]. A position without an action is ignored in log_probs and entropy whatever
/// stands there. Metrics: policy/approxkl_avg (½ mean log-ratio², over actions; TRL's mean takes padding in),
/// policy/clipfrac_avg, loss/policy_avg, loss/value_avg, val/clipfrac_avg, val/ratio, and policy/entropy_avg where
/// entropy is given.
POWERHOUSE_API LossResult ppo_loss(const at::Tensor& log_probs, const at::Tensor& values, const PpoBatch& batch,
                                   const PpoOptions& options = {});

/// Error{range} for options out of their bounds; the functions check as well.
POWERHOUSE_API void check(const PpoOptions& options);

}  // namespace powerhouse
