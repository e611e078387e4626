// GRPO and its kin, by TRL 1.16's _compute_loss: the loss type's term [tokens] (grpo_terms.cpp), masks and weights, the
// KL term, the type's way to one number, an entropy bonus.
#include <cmath>

#include "training/losses/grpo_terms.h"

namespace powerhouse {
namespace {

using at::Tensor;
using losses::GrpoTerms;

/// Detached, in the policy's type; Error where it is missing, of another size or not finite.
Tensor token_values(const Tensor& values, const Tensor& like, const std::string& field) {
  losses::check_vector(values, like.size(0), field);
  losses::check_finite(values, field);
  return values.detach().to(like.scalar_type());
}

GrpoTerms terms_of(const CompletionLogProbs& policy, const GrpoBatch& batch, const GrpoOptions& options) {
  losses::check_completions(policy, "policy");
  if (policy.completions() == 0) throw Error(ErrorKind::usage, "no completions", {.field = "policy"});
  losses::check_range(batch.accumulation_steps >= 1, "accumulation_steps", "at least 1",
                      static_cast<double>(batch.accumulation_steps));
  losses::check_range(batch.num_items_in_batch >= 0, "num_items_in_batch", "at least 0",
                      static_cast<double>(batch.num_items_in_batch));
  GrpoTerms t{.policy = policy, .batch = batch, .options = options};
  t.of_sequences = options.importance_sampling_level == ImportanceSampling::sequence;
  t.high = options.epsilon_high.value_or(options.epsilon);
  t.log_probs = losses::wide(policy.token_log_probs);
  losses::check_finite(t.log_probs, "policy.token_log_probs");
  losses::check_vector(batch.advantages, policy.completions(), "advantages");
  losses::check_finite(batch.advantages, "advantages");
  t.advantages = batch.advantages.detach().to(t.log_probs.scalar_type());
  t.index = losses::segments(policy.cu_seqlens, t.log_probs);
  t.lengths = losses::counts(policy.cu_seqlens, t.log_probs);
  if (batch.importance_sampling_ratio.defined()) {
    t.sampling = token_values(batch.importance_sampling_ratio, t.log_probs, "importance_sampling_ratio");
  }
  const Tensor old = batch.old_log_probs.defined() ? token_values(batch.old_log_probs, t.log_probs, "old_log_probs")
                                                   : t.log_probs.detach();
  t.log_ratio = t.log_probs.sub(old);
  const Tensor log_weights = t.of_sequences ? t.completion_sums(t.log_ratio).div(t.lengths.clamp_min(1)) : t.log_ratio;
  t.ratio = log_weights.exp();
  return t;
}

/// 1 for completions to keep: A ≥ 0, or a policy that is still near the one that sampled.
Tensor off_policy_mask(const GrpoTerms& t, double threshold) {
  const Tensor drift = t.completion_sums(t.log_ratio.detach().neg()).div(t.lengths.clamp_min(1));
  return t.advantages.ge(0).logical_or(drift.le(threshold)).to(t.log_probs.scalar_type());
}

/// 1 for the tokens of most entropy, [tokens]; undefined: all.
Tensor entropy_mask(const GrpoTerms& t) {
  if (t.options.top_entropy_quantile >= 1) return {};
  const Tensor& entropy = t.policy.entropy;
  losses::check_vector(entropy, t.log_probs.size(0), "policy.entropy");
  if (entropy.size(0) == 0) return {};
  const Tensor values = losses::wide(entropy.detach());
  const Tensor bound = values.quantile(1 - t.options.top_entropy_quantile);
  return values.ge(bound).to(t.log_probs.scalar_type());
}

Tensor entropy_bonus(const GrpoTerms& t, const Tensor& mask) {
  const Tensor& entropy = t.policy.entropy;
  losses::check_vector(entropy, t.log_probs.size(0), "policy.entropy");
  if (t.log_probs.requires_grad() && !entropy.requires_grad()) {
    throw Error(ErrorKind::usage, "an entropy bonus needs an entropy with a gradient", {.field = "policy.entropy"});
  }
  const Tensor values = losses::wide(entropy);
  if (!mask.defined()) return values.sum().div(t.tokens());
  return values.mul(mask).sum().div(mask.sum().clamp_min(1));
}

Tensor kl_of(const GrpoTerms& t) {
  const Tensor d = token_values(t.batch.ref_log_probs, t.log_probs, "ref_log_probs").sub(t.log_probs);
  const Tensor kl = d.exp().sub(d).sub(1);
  return t.options.use_bias_correction_kl ? kl.mul(t.spread(t.ratio)) : kl;
}

}  // namespace

void check(const GrpoOptions& options) {
  const auto positive = [](double value, std::string_view field) {
    losses::check_range(value > 0 && std::isfinite(value), field, "above 0", value);
  };
  losses::check_range(options.epsilon >= 0 && options.epsilon < 1, "epsilon", "0 to below 1", options.epsilon);
  losses::check_range(std::isfinite(options.beta), "beta", "a number", options.beta);
  losses::check_range(std::isfinite(options.entropy_coef), "entropy_coef", "a number", options.entropy_coef);
  losses::check_range(options.top_entropy_quantile >= 0 && options.top_entropy_quantile <= 1, "top_entropy_quantile",
                      "0 to 1", options.top_entropy_quantile);
  positive(options.epsilon_high.value_or(1), "epsilon_high");
  positive(options.delta.value_or(1), "delta");
  positive(static_cast<double>(options.max_completion_length), "max_completion_length");
  positive(options.sapo_temperature_pos, "sapo_temperature_pos");
  positive(options.sapo_temperature_neg, "sapo_temperature_neg");
  const auto not_negative = [](double value, std::string_view field) {
    losses::check_range(value >= 0 && std::isfinite(value), field, "at least 0", value);
  };
  not_negative(options.vespo_k_pos, "vespo_k_pos");
  not_negative(options.vespo_lambda_pos, "vespo_lambda_pos");
  not_negative(options.vespo_k_neg, "vespo_k_neg");
  not_negative(options.vespo_lambda_neg, "vespo_lambda_neg");
  const double threshold = options.off_policy_mask_threshold.value_or(0);
  losses::check_range(std::isfinite(threshold), "off_policy_mask_threshold", "a number", threshold);
}

LossResult grpo_loss(const CompletionLogProbs& policy, const GrpoBatch& batch, const GrpoOptions& options) {
  check(options);
  const losses::GrpoRow& row = losses::grpo_row(options.loss_type);
  const GrpoTerms t = terms_of(policy, batch, options);
  Metrics metrics;
  Tensor each = row.term(t, metrics);
  if (row.of_units) each = t.spread(each);
  const Tensor mask = entropy_mask(t);
  if (options.off_policy_mask_threshold) {
    each = each.mul(t.to_tokens(off_policy_mask(t, *options.off_policy_mask_threshold)));
  }
  if (mask.defined()) each = each.mul(mask);
  if (t.sampling.defined() && options.loss_type != GrpoLossType::vespo) each = each.mul(t.sampling);
  if (options.beta != 0) {
    const Tensor kl = kl_of(t);
    losses::add_metric(metrics, "kl", kl);
    each = each.add(kl.mul(options.beta));
  }
  Tensor loss = row.reduce(t, each);
  if (options.entropy_coef != 0) losses::add_metric(metrics, "policy_loss", loss);
  const auto steps = static_cast<double>(batch.accumulation_steps);
  if (!row.share_of_step) loss = loss.div(steps);
  if (options.entropy_coef != 0) loss = loss.sub(entropy_bonus(t, mask).div(steps).mul(options.entropy_coef));
  losses::add_entropy(metrics, {&policy});
  return losses::finish(std::move(loss), std::move(metrics), "grpo_loss");
}

}  // namespace powerhouse
