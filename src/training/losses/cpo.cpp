// CPO (Xu et al. 2024, arXiv 2401.08417) and SimPO (Meng et al. 2024, 2405.14734): pairs without a reference, and the
// NLL of chosen completions so that their own probability does not fall. m [pairs] is the margin of log-probabilities,
// sums or means, or of AlphaPO's rewards.
#include <cmath>

#include "powerhouse/preference_losses.h"
#include "training/losses/common.h"

namespace powerhouse {
namespace {

using at::Tensor;

/// -(1-ε) log σ(x) - ε log σ(-x)
Tensor smoothed(const Tensor& x, double epsilon) {
  return losses::log_sigmoid(x).mul(epsilon - 1).sub(losses::log_sigmoid(x.neg()).mul(epsilon));
}

Tensor sigmoid(const Tensor& m, const CpoOptions& o) { return smoothed(m.mul(o.beta), o.label_smoothing); }
Tensor simpo(const Tensor& m, const CpoOptions& o) {
  return smoothed(m.mul(o.beta).sub(o.simpo_gamma), o.label_smoothing);
}
Tensor hinge(const Tensor& m, const CpoOptions& o) { return m.mul(-o.beta).add(1).relu(); }
Tensor ipo(const Tensor& m, const CpoOptions& o) { return m.sub(0.5 / o.beta).square(); }

constexpr struct CpoRow {
  std::string_view name;
  CpoLossType value;
  Tensor (*loss)(const Tensor& margin, const CpoOptions&);  // [pairs]
  bool of_means;
} kCpoRows[] = {{"sigmoid", CpoLossType::sigmoid, sigmoid, false},
                {"hinge", CpoLossType::hinge, hinge, false},
                {"ipo", CpoLossType::ipo, ipo, true},
                {"simpo", CpoLossType::simpo, simpo, true}};

const CpoRow& row_of(CpoLossType type) {
  for (const CpoRow& row : kCpoRows) {
    if (row.value == type) return row;
  }
  throw Error(ErrorKind::usage, "no such loss type of CPO", {.field = "loss_type"});
}

Tensor log_probs_of(const CompletionLogProbs& side, bool of_means, const std::string& field) {
  if (of_means) return losses::finite_means(side, field);
  Tensor total = sums(side);
  losses::check_finite(total, field);
  return total;
}

/// (1 - p^-α) / α, from log p: p itself would be 0 for any long completion.
Tensor reward_of(const Tensor& log_probs, double alpha) {
  return alpha == 0 ? log_probs : log_probs.mul(-alpha).expm1().div(-alpha);
}

Tensor nll_of(const CompletionLogProbs& chosen, const CpoOptions& options) {
  const Tensor tokens = losses::wide(chosen.token_log_probs);
  if (options.cpo_alpha == 0) return tokens.detach().sum().mul(0);
  if (tokens.size(0) == 0) {
    throw Error(ErrorKind::numeric, "no chosen completion of the batch has a token: the NLL is a mean over them",
                {.field = "policy.chosen"});
  }
  return options.nll == CpoNll::token_mean ? tokens.mean().neg()
                                           : tokens.sum().div(-static_cast<double>(chosen.completions()));
}

}  // namespace

std::string_view to_string(CpoLossType type) noexcept { return losses::name_in(kCpoRows, type); }

void set_cpo_loss_type(CpoOptions& options, std::string_view name) {
  const bool alphapo = name == "alphapo";
  options.loss_type = alphapo ? CpoLossType::simpo : losses::parse_name(kCpoRows, name, "loss_type");
  if (alphapo) options.cpo_alpha = 0;
}

void check(const CpoOptions& options) {
  losses::check_range(options.beta > 0 && std::isfinite(options.beta), "beta", "above 0", options.beta);
  losses::check_range(options.label_smoothing >= 0 && options.label_smoothing <= 1, "label_smoothing", "0 to 1",
                      options.label_smoothing);
  losses::check_range(std::isfinite(options.cpo_alpha), "cpo_alpha", "a number", options.cpo_alpha);
  losses::check_range(std::isfinite(options.simpo_gamma), "simpo_gamma", "a number", options.simpo_gamma);
  losses::check_range(std::isfinite(options.alpha), "alpha", "a number", options.alpha);
}

LossResult cpo_loss(const PairLogProbs& policy, const CpoOptions& options) {
  check(options);
  losses::check_pairs(policy);
  const CpoRow& row = row_of(options.loss_type);
  const Tensor chosen = log_probs_of(policy.chosen, row.of_means, "policy.chosen");
  const Tensor rejected = log_probs_of(policy.rejected, row.of_means, "policy.rejected");
  const Tensor chosen_reward = reward_of(chosen, options.alpha), rejected_reward = reward_of(rejected, options.alpha);
  // An infinite reward may leave the loss a number, but no gradient.
  losses::check_finite(chosen_reward, "rewards.chosen");
  losses::check_finite(rejected_reward, "rewards.rejected");
  const Tensor nll = nll_of(policy.chosen, options);
  Tensor loss = row.loss(chosen_reward.sub(rejected_reward), options).mean();
  if (options.cpo_alpha != 0) loss = loss.add(nll.mul(options.cpo_alpha));
  Metrics metrics;
  losses::add_pair_metrics(metrics,
                           {chosen_reward.detach().mul(options.beta), rejected_reward.detach().mul(options.beta)},
                           {chosen, rejected});
  losses::add_metric(metrics, "nll_loss", nll);
  losses::add_pair_token_metrics(metrics, policy);
  return losses::finish(std::move(loss), std::move(metrics), "cpo_loss");
}

}  // namespace powerhouse
