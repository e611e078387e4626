// What PPO learns from (rewards, advantages, returns), by TRL's PPOTrainer: a KL penalty at each token, the score at
// the last position, generalized advantage estimation backwards through each completion. Recursions run on the host in
// float64: a rollout is a few thousand numbers.
#include <cmath>

#include "powerhouse/ppo_loss.h"
#include "training/losses/common.h"

namespace powerhouse {
namespace {

using at::Tensor;

constexpr struct KlRow {
  std::string_view name;
  KlEstimator value;
} kEstimators[] = {{"k1", KlEstimator::k1}, {"k2", KlEstimator::k2}, {"k3", KlEstimator::k3}};

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

/// 0 where there is no action, whatever stands there.
Tensor at_actions(const Tensor& values, const Tensor& is_action) {
  return is_action.defined() ? values.masked_fill(is_action.logical_not(), 0) : values;
}

Tensor scores_of(const PpoRollout& rollout, const PpoOptions& options) {
  const Tensor scores = losses::wide(rollout.scores.detach());
  if (!options.missing_eos_penalty) return scores;
  std::vector<double> penalties;
  for (const bool ended : rollout.ended) penalties.push_back(ended ? 0 : *options.missing_eos_penalty);
  return scores.sub(losses::constant(penalties, scores));
}

std::vector<double> to_host(const Tensor& values) {
  const Tensor doubles = values.detach().to(at::kCPU, at::kDouble).contiguous();
  return {doubles.const_data_ptr<double>(), doubles.const_data_ptr<double>() + doubles.numel()};
}

}  // namespace

std::string_view to_string(KlEstimator estimator) noexcept { return losses::name_in(kEstimators, estimator); }
KlEstimator parse_kl_estimator(std::string_view name) { return losses::parse_name(kEstimators, name, "kl_estimator"); }

at::Tensor kl_estimate(const at::Tensor& log_probs, const at::Tensor& ref_log_probs, KlEstimator estimator) {
  const Tensor d = ref_log_probs.sub(log_probs);
  switch (estimator) {
    case KlEstimator::k1: return d.neg();
    case KlEstimator::k2: return d.square().mul(0.5);
    case KlEstimator::k3: break;
  }
  return d.exp().sub(1).sub(d);
}

at::Tensor masked_whiten(const at::Tensor& values, const at::Tensor& mask, bool shift_mean) {
  losses::check_vector(values, values.defined() ? values.numel() : 0, "values");
  losses::check_mask(mask, values.size(0), "mask");
  const Tensor numbers = losses::wide(values);
  const Tensor counted = mask.defined() ? numbers.masked_select(mask) : numbers;
  if (counted.size(0) == 0) return numbers.new_zeros(numbers.sizes());
  const Tensor mean = counted.mean();
  const Tensor squares = counted.sub(mean).square().sum();
  const Tensor variance = squares.div(static_cast<double>(std::max<std::int64_t>(1, counted.size(0) - 1)));
  Tensor whitened = numbers.sub(mean).div(variance.add(1e-8).sqrt());
  if (!shift_mean) whitened = whitened.add(mean);
  return at_actions(whitened, mask);
}

at::Tensor generalized_advantages(const at::Tensor& rewards, const at::Tensor& values,
                                  const std::vector<std::int64_t>& cu_seqlens, double gamma, double lam) {
  const std::int64_t positions = rewards.defined() ? rewards.numel() : 0;
  losses::check_vector(rewards, positions, "rewards");
  losses::check_vector(values, positions, "values");
  losses::check_offsets(cu_seqlens, positions, "rewards");
  const std::vector<double> reward = to_host(rewards), value = to_host(values);
  std::vector<double> advantage(reward.size());
  for (std::size_t i = 1; i < cu_seqlens.size(); ++i) {
    double next_value = 0, next_advantage = 0;
    for (std::int64_t t = cu_seqlens[i] - 1; t >= cu_seqlens[i - 1]; --t) {
      const double delta = reward[t] + gamma * next_value - value[t];
      advantage[t] = next_advantage = delta + gamma * lam * next_advantage;
      next_value = value[t];
    }
  }
  return losses::constant(advantage, rewards);
}

PpoTargets ppo_targets(const PpoRollout& rollout, const PpoOptions& options) {
  check(options);
  check_rollout(rollout, options);
  const Tensor log_probs = at_actions(losses::wide(rollout.log_probs.detach()), rollout.is_action);
  const Tensor reference =
      at_actions(losses::wide(rollout.ref_log_probs.detach()), rollout.is_action).to(log_probs.scalar_type());
  losses::check_finite(log_probs, "log_probs");
  losses::check_finite(reference, "ref_log_probs");
  const Tensor kl = kl_estimate(log_probs, reference, options.kl_estimator);
  const Tensor penalty = kl.mul(-options.kl_coef);
  const Tensor scores = scores_of(rollout, options).to(log_probs.scalar_type());

  std::vector<double> reward = to_host(penalty);
  const std::vector<double> score = to_host(scores);
  for (std::size_t i = 0; i < score.size(); ++i) reward[rollout.cu_seqlens[i + 1] - 1] += score[i];
  PpoTargets targets{.rewards = losses::constant(reward, log_probs)};
  if (options.whiten_rewards) targets.rewards = masked_whiten(targets.rewards, {}, false);
  const Tensor values = losses::wide(rollout.values.detach()).to(log_probs.scalar_type());
  const Tensor advantages =
      generalized_advantages(targets.rewards, values, rollout.cu_seqlens, options.gamma, options.lam);
  targets.returns = advantages.add(values);
  targets.advantages = options.whiten_advantages ? masked_whiten(advantages, rollout.is_action)
                                                 : at_actions(advantages, rollout.is_action);

  const auto total = [&](const Tensor& each) { return losses::segment_sums(each, rollout.cu_seqlens); };
  losses::add_metric(targets.metrics, "objective/kl", total(kl));
  losses::add_metric(targets.metrics, "objective/entropy", total(log_probs.neg()));
  losses::add_metric(targets.metrics, "objective/non_score_reward", total(penalty));
  losses::add_metric(targets.metrics, "objective/rlhf_reward", total(penalty).add(scores));
  losses::add_metric(targets.metrics, "objective/scores", scores);
  return targets;
}

}  // namespace powerhouse
