// The parts of PPO that stand alone: estimates of the KL divergence, whitening, generalized advantage estimation. The
// recursion runs on the host in float64: a rollout is a few thousand numbers.
#include "training/losses/ppo_parts.h"

#include "powerhouse/ppo_loss.h"
#include "training/losses/common.h"

namespace powerhouse {
namespace {

using at::Tensor;

constexpr struct KlRow {
  std::string_view name;
  KlEstimator value;
} kEstimators[] = {{"k1", KlEstimator::k1}, {"k2", KlEstimator::k2}, {"k3", KlEstimator::k3}};

}  // namespace

namespace losses {

Tensor at_actions(const Tensor& values, const Tensor& is_action) {
  return is_action.defined() ? values.masked_fill(is_action.logical_not(), 0) : values;
}

std::vector<double> to_host(const Tensor& values) {
  const Tensor doubles = values.detach().to(at::kCPU, at::kDouble).contiguous();
  return {doubles.const_data_ptr<double>(), doubles.const_data_ptr<double>() + doubles.numel()};
}

}  // namespace losses

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
  return losses::at_actions(whitened, mask);
}

at::Tensor generalized_advantages(const at::Tensor& rewards, const at::Tensor& values,
                                  const std::vector<std::int64_t>& cu_seqlens, double gamma, double lam) {
  const std::int64_t positions = rewards.defined() ? rewards.numel() : 0;
  losses::check_vector(rewards, positions, "rewards");
  losses::check_vector(values, positions, "values");
  losses::check_offsets(cu_seqlens, positions, "rewards");
  const std::vector<double> reward = losses::to_host(rewards), value = losses::to_host(values);
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

}  // namespace powerhouse
