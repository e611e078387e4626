// What a completion is better by than its siblings of the same prompt: by the group's mean (GRPO, arXiv 2402.03300) or
// by the mean of the others (RLOO, 2402.14740). Rewards that are NaN don't count.
#include <cmath>
#include <limits>

#include "powerhouse/policy_losses.h"
#include "training/losses/common.h"

namespace powerhouse {
namespace {

using at::Tensor;

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

struct Rewards {
  Tensor each;        // [completions, functions]
  Tensor total;       // [completions], NaN where none of the functions applies
  Tensor weights;     // [functions]
  Tensor unscorable;  // bool [completions]
};

void check_groups(std::int64_t completions, std::int64_t num_generations) {
  if (num_generations >= 1 && completions > 0 && completions % num_generations == 0) return;
  throw Error(ErrorKind::usage, "completions that make no whole groups",
              {.field = "num_generations",
               .expected = "a divisor of " + std::to_string(completions),
               .found = std::to_string(num_generations)});
}

Rewards rewards_of(const Tensor& given, std::int64_t num_generations, const std::vector<double>& weights) {
  const bool good = given.defined() && given.is_floating_point() && (given.dim() == 1 || given.dim() == 2);
  if (!good || given.numel() == 0) {
    throw Error(ErrorKind::usage, "rewards of another shape or type",
                {.field = "rewards", .expected = "floating [completions] or [completions, functions]"});
  }
  Rewards rewards{.each = losses::wide(given.detach())};
  if (given.dim() == 1) rewards.each = rewards.each.unsqueeze(1);
  check_groups(rewards.each.size(0), num_generations);
  const auto functions = static_cast<std::size_t>(rewards.each.size(1));
  if (!weights.empty() && weights.size() != functions) {
    throw Error(
        ErrorKind::usage, "another number of weights than of reward functions",
        {.field = "reward_weights", .expected = std::to_string(functions), .found = std::to_string(weights.size())});
  }
  for (const double weight : weights) {
    losses::check_range(std::isfinite(weight), "reward_weights", "numbers", weight);
  }
  const Tensor infinite = rewards.each.isinf().nonzero();
  if (infinite.size(0) > 0) {
    throw Error(ErrorKind::numeric, "a reward is infinite",
                {.field = "rewards[" + std::to_string(infinite[0][0].item<std::int64_t>()) + "]"});
  }
  rewards.unscorable = rewards.each.isnan().all(1);
  if (rewards.unscorable.all().item<bool>()) {
    throw Error(ErrorKind::numeric, "every reward of the batch is NaN", {.field = "rewards"});
  }
  rewards.weights = losses::constant(weights.empty() ? std::vector<double>(functions, 1) : weights, rewards.each);
  rewards.total = rewards.each.mul(rewards.weights).nansum(1).masked_fill(rewards.unscorable, kNaN);
  return rewards;
}

/// With n - 1; NaN where fewer than two count.
Tensor nan_deviation(const Tensor& values, std::int64_t dimension) {
  const Tensor squares = values.sub(values.nanmean(dimension, true)).square();
  const Tensor others = squares.isnan().logical_not().sum(dimension, true).sub(1);
  return squares.nansum(dimension, true).div(others.masked_fill(others.le(0), 0).to(values.scalar_type())).sqrt();
}

Tensor zero_where_nan(const Tensor& values) { return values.masked_fill(values.isnan(), 0); }

void add_reward_metrics(Metrics& metrics, const Tensor& total, const Tensor& deviation) {
  losses::add_metric(metrics, "reward", total.nanmean());
  losses::add_metric(metrics, "reward_std", nan_deviation(total, 0));
  losses::add_metric(metrics, "frac_reward_zero_std", deviation.abs().le(1e-8));
}

Tensor normalized(const Tensor& values, const Tensor& mean, const Tensor& deviation) {
  return values.sub(mean).div(deviation.add(1e-4));
}

}  // namespace

Advantages grpo_advantages(const at::Tensor& given, std::int64_t num_generations, const GrpoOptions& options) {
  check(options);
  const Rewards rewards = rewards_of(given, num_generations, options.reward_weights);
  const bool alone = num_generations == 1;
  Advantages result;
  Tensor deviation;
  if (options.multi_objective_aggregation == RewardAggregation::sum_then_normalize) {
    const Tensor grouped = rewards.total.view({-1, num_generations});
    const Tensor centred = grouped.sub(grouped.nanmean(1, true));
    deviation = options.scale_rewards == ScaleRewards::batch ? nan_deviation(rewards.total, 0).expand_as(grouped)
                                                             : nan_deviation(grouped, 1).expand_as(grouped);
    if (alone && options.scale_rewards != ScaleRewards::batch) deviation = centred.new_zeros(centred.sizes());
    result.advantages = options.scale_rewards == ScaleRewards::none ? centred : centred.div(deviation.add(1e-4));
  } else {
    const Tensor grouped = rewards.each.view({-1, num_generations, rewards.each.size(1)});
    const Tensor mean = grouped.nanmean(1, true);
    const Tensor spread = alone ? mean.new_zeros(mean.sizes()) : nan_deviation(grouped, 1);
    const Tensor each = normalized(grouped, mean, spread).view(rewards.each.sizes());
    const Tensor total = each.mul(rewards.weights).nansum(1).masked_fill(rewards.unscorable, kNaN);
    deviation = nan_deviation(total, 0).expand_as(total);
    result.advantages = normalized(total, total.nanmean(), deviation);
  }
  result.advantages = zero_where_nan(result.advantages).reshape({-1});
  add_reward_metrics(result.metrics, rewards.total, deviation);
  return result;
}

Advantages rloo_advantages(const at::Tensor& given, const at::Tensor& kl, std::int64_t num_generations,
                           const RlooOptions& options) {
  check(options);
  const Rewards rewards = rewards_of(given, num_generations, options.reward_weights);
  Tensor total = rewards.total;
  if (const auto& range = options.reward_clip_range) total = total.clamp(range->first, range->second);
  if (options.beta != 0) {
    losses::check_vector(kl, total.size(0), "kl");
    losses::check_finite(kl, "kl");
    total = total.sub(kl.detach().to(total.scalar_type()).mul(options.beta));
  }
  const Tensor grouped = total.view({-1, num_generations});
  const Tensor counted = grouped.isnan().logical_not().sum(1, true).sub(1).to(total.scalar_type());
  Tensor advantages = grouped.sub(grouped.nansum(1, true).sub(grouped).div(counted)).reshape({-1});
  if (num_generations == 1) advantages = total.new_zeros(total.sizes());
  if (options.normalize_advantages) {
    advantages = normalized(advantages, advantages.nanmean(), nan_deviation(advantages, 0));
  }
  Advantages result{.advantages = zero_where_nan(advantages)};
  const Tensor deviation = num_generations == 1 ? grouped.new_zeros(grouped.sizes()) : nan_deviation(grouped, 1);
  add_reward_metrics(result.metrics, rewards.total, deviation);
  return result;
}

}  // namespace powerhouse
