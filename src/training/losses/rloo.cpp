// RLOO (Ahmadian et al. 2024, arXiv 2402.14740): a whole completion is one action, r = π(y|x)/π_old(y|x).
#include <cmath>

#include "powerhouse/policy_losses.h"
#include "training/losses/common.h"
#include "training/losses/group_terms.h"

namespace powerhouse {

void check(const RlooOptions& options) {
  losses::check_range(std::isfinite(options.beta), "beta", "a number", options.beta);
  losses::check_range(options.epsilon >= 0 && options.epsilon < 1, "epsilon", "0 to below 1", options.epsilon);
  const double high = options.epsilon_high.value_or(options.epsilon);
  losses::check_range(high >= 0 && std::isfinite(high), "epsilon_high", "at least 0", high);
  if (const auto& range = options.reward_clip_range) {
    losses::check_range(range->first <= range->second, "reward_clip_range", "least, greatest", range->first);
  }
}

LossResult rloo_loss(const CompletionLogProbs& policy, const at::Tensor& old_sums, const at::Tensor& given,
                     const RlooOptions& options) {
  check(options);
  const at::Tensor log_probs = sums(policy);
  if (policy.completions() == 0) throw Error(ErrorKind::usage, "no completions", {.field = "policy"});
  losses::check_vector(old_sums, policy.completions(), "old_sums");
  losses::check_vector(given, policy.completions(), "advantages");
  losses::check_finite(log_probs, "policy");
  losses::check_finite(old_sums, "old_sums");
  losses::check_finite(given, "advantages");
  const at::Tensor advantages = given.detach().to(log_probs.scalar_type());
  const at::Tensor ratio = log_probs.sub(old_sums.detach().to(log_probs.scalar_type())).exp();
  const double low = 1 - options.epsilon, high = 1 + options.epsilon_high.value_or(options.epsilon);
  Metrics metrics;
  losses::add_entropy(metrics, {&policy});
  losses::add_clip_metrics(metrics, ratio, advantages, low, high, [](const at::Tensor& units) { return units; });
  const at::Tensor each = options.objective == RlooObjective::reinforce
                              ? log_probs.mul(advantages)
                              : ratio.mul(advantages).minimum(ratio.clamp(low, high).mul(advantages));
  return losses::finish(each.mean().neg(), std::move(metrics), "rloo_loss");
}

}  // namespace powerhouse
