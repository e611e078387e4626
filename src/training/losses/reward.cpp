// A reward model's loss, Bradley-Terry: -mean log σ(r_c - r_r - margin) + c mean((r_c + r_r)²), all [pairs].
#include <cmath>

#include "ops/tensors.h"
#include "powerhouse/preference_losses.h"
#include "training/losses/common.h"

namespace powerhouse {

void check(const RewardOptions& options) {
  const double coefficient = options.center_rewards_coefficient.value_or(0);
  losses::check_range(coefficient >= 0 && std::isfinite(coefficient), "center_rewards_coefficient", "at least 0",
                      coefficient);
}

LossResult reward_loss(const at::Tensor& chosen, const at::Tensor& rejected, const at::Tensor& margin,
                       const RewardOptions& options) {
  check(options);
  const std::int64_t pairs = chosen.defined() ? chosen.numel() : 0;
  losses::check_vector(chosen, pairs, "chosen");
  losses::check_vector(rejected, pairs, "rejected");
  if (pairs == 0) throw Error(ErrorKind::usage, "no pairs", {.field = "chosen"});
  const at::Tensor better = losses::wide(chosen), worse = losses::wide(rejected);
  losses::check_finite(better, "chosen");
  losses::check_finite(worse, "rejected");
  at::Tensor difference = better.sub(worse);
  const at::Tensor won = difference.detach();
  if (margin.defined()) {
    losses::check_vector(margin, pairs, "margin");
    losses::check_finite(margin, "margin");
    difference = difference.sub(margin.detach().to(difference.scalar_type()));
  }
  at::Tensor loss = losses::log_sigmoid(difference).mean().neg();
  if (options.center_rewards_coefficient) {
    loss = loss.add(better.add(worse).square().mean().mul(*options.center_rewards_coefficient));
  }
  const at::Tensor all = concatenate({better.detach(), worse.detach()}, 0);
  Metrics metrics;
  losses::add_metric(metrics, "min_reward", all.min());
  losses::add_metric(metrics, "mean_reward", all);
  losses::add_metric(metrics, "max_reward", all.max());
  losses::add_metric(metrics, "accuracy", won.gt(0));
  losses::add_metric(metrics, "margin", won);
  return losses::finish(std::move(loss), std::move(metrics), "reward_loss");
}

}  // namespace powerhouse
