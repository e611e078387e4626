// What PPO learns from (rewards, advantages, returns), by TRL's PPOTrainer: a KL penalty at each token, the score at
// the last position, generalized advantage estimation backwards through each completion. Its parts: ppo_parts.cpp.
#include "powerhouse/ppo_loss.h"
#include "training/losses/common.h"
#include "training/losses/ppo_parts.h"

namespace powerhouse {
namespace {

using at::Tensor;

void check_rollout(const PpoRollout& rollout, const PpoOptions& options) {
  const std::int64_t positions = rollout.log_probs.defined() ? rollout.log_probs.numel() : 0;
  const auto completions = static_cast<std::int64_t>(rollout.cu_seqlens.size()) - 1;
  losses::check_vector(rollout.log_probs, positions, "log_probs");
  losses::check_vector(rollout.ref_log_probs, positions, "ref_log_probs");
  losses::check_vector(rollout.values, positions, "values");
  losses::check_vector(rollout.scores, completions, "scores");
  losses::check_offsets(rollout.cu_seqlens, positions, "rollout");
  losses::check_mask(rollout.is_action, positions, "is_action");
  losses::check_finite(rollout.values, "values");
  losses::check_finite(rollout.scores, "scores");
  for (std::int64_t i = 0; i < completions; ++i) {
    if (rollout.cu_seqlens[i] != rollout.cu_seqlens[i + 1]) continue;
    throw Error(ErrorKind::numeric, "a completion without positions has nowhere to be rewarded",
                {.field = "completion " + std::to_string(i)});
  }
  if (options.missing_eos_penalty && static_cast<std::int64_t>(rollout.ended.size()) != completions) {
    throw Error(
        ErrorKind::usage, "missing_eos_penalty needs to know which completions ended",
        {.field = "ended", .expected = std::to_string(completions), .found = std::to_string(rollout.ended.size())});
  }
}

Tensor scores_of(const PpoRollout& rollout, const PpoOptions& options) {
  Tensor scores = losses::wide(rollout.scores.detach());
  if (!options.missing_eos_penalty) return scores;
  std::vector<double> penalties;
  for (const bool ended : rollout.ended) penalties.push_back(ended ? 0 : *options.missing_eos_penalty);
  return scores.sub(losses::constant(penalties, scores));
}

}  // namespace

PpoTargets ppo_targets(const PpoRollout& rollout, const PpoOptions& options) {
  check(options);
  check_rollout(rollout, options);
  const Tensor log_probs = losses::at_actions(losses::wide(rollout.log_probs.detach()), rollout.is_action);
  const Tensor reference =
      losses::at_actions(losses::wide(rollout.ref_log_probs.detach()), rollout.is_action).to(log_probs.scalar_type());
  losses::check_finite(log_probs, "log_probs");
  losses::check_finite(reference, "ref_log_probs");
  const Tensor kl = kl_estimate(log_probs, reference, options.kl_estimator);
  const Tensor penalty = kl.mul(-options.kl_coef);
  const Tensor scores = scores_of(rollout, options).to(log_probs.scalar_type());

  std::vector<double> reward = losses::to_host(penalty);
  const std::vector<double> score = losses::to_host(scores);
  for (std::size_t i = 0; i < score.size(); ++i) reward[rollout.cu_seqlens[i + 1] - 1] += score[i];
  PpoTargets targets{.rewards = losses::constant(reward, log_probs)};
  if (options.whiten_rewards) targets.rewards = masked_whiten(targets.rewards, {}, false);
  const Tensor values = losses::wide(rollout.values.detach()).to(log_probs.scalar_type());
  const Tensor advantages =
      generalized_advantages(targets.rewards, values, rollout.cu_seqlens, options.gamma, options.lam);
  targets.returns = advantages.add(values);
  targets.advantages = options.whiten_advantages ? masked_whiten(advantages, rollout.is_action)
                                                 : losses::at_actions(advantages, rollout.is_action);

  const auto total = [&](const Tensor& each) { return losses::segment_sums(each, rollout.cu_seqlens); };
  losses::add_metric(targets.metrics, "objective/kl", total(kl));
  losses::add_metric(targets.metrics, "objective/entropy", total(log_probs.neg()));
  losses::add_metric(targets.metrics, "objective/non_score_reward", total(penalty));
  losses::add_metric(targets.metrics, "objective/rlhf_reward", total(penalty).add(scores));
  losses::add_metric(targets.metrics, "objective/scores", scores);
  return targets;
}

}  // namespace powerhouse
