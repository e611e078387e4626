// ORPO (Hong et al. 2024, arXiv 2403.07691): L = NLL - β mean log σ(log odds(chosen) - log odds(rejected)), with
// log odds = a - log(1 - e^a) of the mean log-probability a [pairs] of a completion's tokens.
#include <cmath>
#include <limits>

#include "powerhouse/preference_losses.h"
#include "training/losses/common.h"

namespace powerhouse {
namespace {

/// At most the nearest number below 0 whose probability is not 1: a completion of which the model is sure in every
/// token would have infinite odds.
at::Tensor below_certainty(const at::Tensor& means) {
  const double epsilon = means.scalar_type() == at::kDouble ? std::numeric_limits<double>::epsilon()
                                                            : std::numeric_limits<float>::epsilon();
  return means.clamp_max(-epsilon / 2);
}

at::Tensor log_odds(const at::Tensor& means) {
  const at::Tensor a = below_certainty(means);
  return a.sub(a.expm1().neg().log());
}

at::Tensor nll_of(const CompletionLogProbs& chosen, const at::Tensor& prompt_log_probs, OrpoNll tokens) {
  at::Tensor total = losses::wide(chosen.token_log_probs).sum();
  std::int64_t count = chosen.token_log_probs.size(0);
  if (tokens == OrpoNll::prompt_and_completion) {
    losses::check_vector(prompt_log_probs, prompt_log_probs.defined() ? prompt_log_probs.numel() : count,
                         "prompt_log_probs");
    total = total.add(losses::wide(prompt_log_probs).sum());
    count += prompt_log_probs.size(0);
  }
  return total.div(-static_cast<double>(count));
}

}  // namespace

void check(const OrpoOptions& options) {
  losses::check_range(options.beta >= 0 && std::isfinite(options.beta), "beta", "at least 0", options.beta);
}

LossResult orpo_loss(const PairLogProbs& policy, const at::Tensor& prompt_log_probs, const OrpoOptions& options) {
  check(options);
  losses::check_pairs(policy);
  const at::Tensor chosen = losses::finite_means(policy.chosen, "policy.chosen");
  const at::Tensor rejected = losses::finite_means(policy.rejected, "policy.rejected");
  const at::Tensor nll = nll_of(policy.chosen, prompt_log_probs, options.nll);
  const at::Tensor odds_ratio = log_odds(chosen).sub(log_odds(rejected));
  const at::Tensor ratio = losses::log_sigmoid(odds_ratio);
  Metrics metrics;
  losses::add_pair_metrics(metrics, {chosen.detach().mul(options.beta), rejected.detach().mul(options.beta)},
                           {chosen, rejected});
  losses::add_metric(metrics, "nll_loss", nll);
  losses::add_metric(metrics, "log_odds_ratio", ratio);
  losses::add_metric(metrics, "log_odds_chosen", odds_ratio);
  losses::add_pair_token_metrics(metrics, policy);
  return losses::finish(nll.sub(ratio.mean().mul(options.beta)), std::move(metrics), "orpo_loss");
}

}  // namespace powerhouse
