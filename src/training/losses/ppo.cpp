// PPO's clipped objectives (Schulman et al. 2017, arXiv 1707.06347), as a loss: policy, value, and an entropy bonus.
#include "powerhouse/ppo_loss.h"

#include <cmath>

#include "training/losses/common.h"

namespace powerhouse {
namespace {

using at::Tensor;

/// The positions that have an action, [actions].
Tensor actions_of(const Tensor& values, const Tensor& is_action) {
  return is_action.defined() ? values.masked_select(is_action) : values;
}

Tensor constant_of(const Tensor& given, std::int64_t positions, const Tensor& like, const std::string& field) {
  losses::check_vector(given, positions, field);
  return losses::wide(given.detach()).to(like.scalar_type());
}

Tensor policy_loss(const Tensor& log_probs, const PpoBatch& batch, const PpoOptions& options, Metrics& metrics) {
  const Tensor now = actions_of(losses::wide(log_probs), batch.is_action);
  if (now.size(0) == 0) throw Error(ErrorKind::usage, "no action to learn from", {.field = "log_probs"});
  const std::int64_t positions = log_probs.size(0);
  const Tensor old = actions_of(constant_of(batch.old_log_probs, positions, now, "old_log_probs"), batch.is_action);
  const Tensor advantages = actions_of(constant_of(batch.advantages, positions, now, "advantages"), batch.is_action);
  losses::check_finite(now, "log_probs");
  losses::check_finite(old, "old_log_probs");
  losses::check_finite(advantages, "advantages");
  const Tensor difference = now.sub(old), ratio = difference.exp();
  const Tensor plain = ratio.mul(advantages).neg();
  const Tensor clipped = ratio.clamp(1 - options.cliprange, 1 + options.cliprange).mul(advantages).neg();
  Tensor loss = plain.maximum(clipped).mean();
  losses::add_metric(metrics, "policy/approxkl_avg", difference.square().mul(0.5));
  losses::add_metric(metrics, "policy/clipfrac_avg", clipped.gt(plain));
  losses::add_metric(metrics, "loss/policy_avg", loss);
  losses::add_metric(metrics, "val/ratio", ratio);
  return loss;
}

Tensor value_loss(const Tensor& given, const PpoBatch& batch, const PpoOptions& options, Metrics& metrics) {
  const Tensor values = losses::wide(given);
  const Tensor old = constant_of(batch.old_values, values.size(0), values, "old_values");
  const Tensor returns = constant_of(batch.returns, values.size(0), values, "returns");
  losses::check_finite(values, "values");
  losses::check_finite(returns, "returns");
  Tensor squares = values.sub(returns).square();
  if (options.cliprange_value) {
    const Tensor change = values.sub(old).clamp(-*options.cliprange_value, *options.cliprange_value);
    const Tensor clipped = old.add(change).sub(returns).square();
    losses::add_metric(metrics, "val/clipfrac_avg", clipped.gt(squares));
    squares = squares.maximum(clipped);
  }
  Tensor loss = squares.mean().mul(0.5);
  losses::add_metric(metrics, "loss/value_avg", loss);
  return loss;
}

Tensor entropy_of(const Tensor& log_probs, const PpoBatch& batch) {
  losses::check_vector(batch.entropy, log_probs.size(0), "entropy");
  return actions_of(losses::wide(batch.entropy), batch.is_action).mean();
}

}  // namespace

void check(const PpoOptions& options) {
  const auto within = [](double value, std::string_view field) {
    losses::check_range(value >= 0 && value <= 1, field, "0 to 1", value);
  };
  const auto positive = [](double value, std::string_view field) {
    losses::check_range(value > 0 && std::isfinite(value), field, "above 0", value);
  };
  const auto number = [](double value, std::string_view field) {
    losses::check_range(std::isfinite(value), field, "a number", value);
  };
  within(options.gamma, "gamma");
  within(options.lam, "lam");
  positive(options.cliprange, "cliprange");
  positive(options.cliprange_value.value_or(1), "cliprange_value");
  number(options.kl_coef, "kl_coef");
  number(options.vf_coef, "vf_coef");
  number(options.entropy_coef, "entropy_coef");
  number(options.missing_eos_penalty.value_or(0), "missing_eos_penalty");
}

LossResult ppo_loss(const at::Tensor& log_probs, const at::Tensor& values, const PpoBatch& batch,
                    const PpoOptions& options) {
  check(options);
  losses::check_vector(log_probs, log_probs.defined() ? log_probs.numel() : 0, "log_probs");
  losses::check_vector(values, log_probs.size(0), "values");
  losses::check_mask(batch.is_action, log_probs.size(0), "is_action");
  Metrics metrics;
  Tensor loss = policy_loss(log_probs, batch, options, metrics);
  loss = loss.add(value_loss(values, batch, options, metrics).mul(options.vf_coef));
  if (batch.entropy.defined()) losses::add_metric(metrics, "policy/entropy_avg", entropy_of(log_probs, batch));
  if (options.entropy_coef != 0) {
    const Tensor entropy = entropy_of(log_probs, batch);
    if (log_probs.requires_grad() && !entropy.requires_grad()) {
      throw Error(ErrorKind::usage, "an entropy bonus needs an entropy with a gradient", {.field = "entropy"});
    }
    loss = loss.sub(entropy.mul(options.entropy_coef));
  }
  return losses::finish(std::move(loss), std::move(metrics), "ppo_loss");
}

}  // namespace powerhouse
