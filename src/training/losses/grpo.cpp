// GRPO and its kin, by TRL 1.16's _compute_loss (papers: include/powerhouse/policy_losses.h). A term [tokens] by the
// loss type's rule, factors and the KL term, then the type's way to make them one number.
#include "powerhouse/policy_losses.h"

#include <cmath>

#include "training/losses/common.h"
#include "training/losses/group_terms.h"

namespace powerhouse {
namespace {

using at::Tensor;

/// A unit is a token, or a completion where the ratio is one of the sequence.
struct Terms {
  const CompletionLogProbs& policy;
  const GrpoBatch& batch;
  const GrpoOptions& options;
  bool of_sequences = false;
  Tensor index;       // int64 [tokens], the completion
  Tensor lengths;     // [completions]
  Tensor log_probs;   // [tokens]
  Tensor log_ratio;   // [tokens], log π - log π_old
  Tensor ratio;       // [units]
  Tensor advantages;  // [completions]
  Tensor sampling;    // [tokens], importance_sampling_ratio, or undefined
  double high = 0;    // epsilon_high

  Tensor to_tokens(const Tensor& of_completions) const { return of_completions.index_select(0, index); }
  Tensor spread(const Tensor& of_units) const { return of_sequences ? to_tokens(of_units) : of_units; }
  Tensor unit_advantages() const { return of_sequences ? advantages : to_tokens(advantages); }
  Tensor completion_sums(const Tensor& of_tokens) const { return losses::segment_sums(of_tokens, policy.cu_seqlens); }
  double tokens() const { return std::max(1.0, static_cast<double>(log_probs.size(0))); }
};

Tensor clipped(const Terms& t, Metrics& metrics) {
  const GrpoOptions& o = t.options;
  const Tensor advantages = t.unit_advantages();
  const Tensor bounded = o.delta ? t.ratio.clamp_max(*o.delta) : t.ratio;
  losses::add_clip_metrics(metrics, bounded, advantages, 1 - o.epsilon, 1 + t.high, [&](const Tensor& units) {
    return t.of_sequences ? units : t.completion_sums(units).div(t.lengths);
  });
  return bounded.mul(advantages).minimum(t.ratio.clamp(1 - o.epsilon, 1 + t.high).mul(advantages)).neg();
}

Tensor cispo(const Terms& t, Metrics& metrics) {
  const Tensor advantages = t.unit_advantages(), ratio = t.ratio.detach();
  losses::add_metric(metrics, "cispo_clip_ratio", ratio.gt(t.high).logical_and(advantages.gt(0)));
  return t.spread(ratio.clamp_max(t.high).mul(advantages)).neg().mul(t.log_probs);
}

Tensor sapo(const Terms& t, Metrics&) {
  const Tensor advantages = t.unit_advantages();
  const Tensor positive = advantages.gt(0).to(advantages.scalar_type());
  const Tensor temperature =
      positive.mul(t.options.sapo_temperature_pos - t.options.sapo_temperature_neg).add(t.options.sapo_temperature_neg);
  return t.ratio.sub(1).mul(temperature).sigmoid().mul(4).div(temperature).mul(advantages).neg();
}

/// φ(w) = e^λ w^k e^(-λw), so that φ(1) = 1; w the product of all tokens' ratios, and of trainer's over sampler's.
Tensor vespo(const Terms& t, Metrics& metrics) {
  const GrpoOptions& o = t.options;
  const double lowest = std::log(1e-8);
  Tensor log_w = t.completion_sums(t.log_ratio.detach().clamp(-20, 20));
  if (t.sampling.defined()) log_w = log_w.add(t.completion_sums(t.sampling.log().clamp(lowest, 20)));
  log_w = log_w.clamp(lowest, 20);
  const Tensor positive = t.advantages.ge(0).to(log_w.scalar_type());
  const Tensor k = positive.mul(o.vespo_k_pos - o.vespo_k_neg).add(o.vespo_k_neg);
  const Tensor lambda = positive.mul(o.vespo_lambda_pos - o.vespo_lambda_neg).add(o.vespo_lambda_neg).clamp_min(1e-4);
  const Tensor phi = lambda.add(k.mul(log_w)).sub(lambda.mul(log_w.exp())).exp().nan_to_num(0, 0, 0);
  losses::add_metric(metrics, "vespo/phi_seq_mean", phi);
  return t.to_tokens(phi.mul(t.advantages)).neg().mul(t.log_probs);
}

double step_tokens(const Terms& t) {
  return t.batch.num_items_in_batch > 0 ? static_cast<double>(t.batch.num_items_in_batch) : t.tokens();
}
double steps(const Terms& t) { return static_cast<double>(t.batch.accumulation_steps); }

Tensor mean_of_means(const Terms& t, const Tensor& each) {
  return t.completion_sums(each).div(t.lengths.clamp_min(1)).mean();
}
Tensor mean_of_sums(const Terms& t, const Tensor& each) { return t.completion_sums(each).mean(); }
Tensor mean_of_tokens(const Terms& t, const Tensor& each) { return each.sum().div(t.tokens()); }
Tensor share_of_step(const Terms& t, const Tensor& each) { return each.sum().div(step_tokens(t)); }
Tensor share_of_longest(const Terms& t, const Tensor& each) {
  return each.sum().div(static_cast<double>(t.policy.completions() * t.options.max_completion_length));
}

constexpr struct GrpoRow {
  std::string_view name;
  GrpoLossType value;
  Tensor (*term)(const Terms&, Metrics&);         // [units], or [tokens]
  Tensor (*reduce)(const Terms&, const Tensor&);  // [tokens] to a scalar
  bool of_units;                                  // the term is one a unit
} kRows[] = {
    {"grpo", GrpoLossType::grpo, clipped, mean_of_means, true},
    {"bnpo", GrpoLossType::bnpo, clipped, mean_of_tokens, true},
    {"dr_grpo", GrpoLossType::dr_grpo, clipped, share_of_longest, true},
    {"dapo", GrpoLossType::dapo, clipped, share_of_step, true},
    {"luspo", GrpoLossType::luspo, clipped, mean_of_sums, true},
    {"cispo", GrpoLossType::cispo, cispo, share_of_step, false},
    {"sapo", GrpoLossType::sapo, sapo, mean_of_means, true},
    {"vespo", GrpoLossType::vespo, vespo, share_of_step, false},
};

const GrpoRow& row_of(GrpoLossType type) {
  for (const GrpoRow& row : kRows) {
    if (row.value == type) return row;
  }
  throw Error(ErrorKind::usage, "no such loss type of GRPO", {.field = "loss_type"});
}

/// Detached, in the policy's type; Error where it is missing, of another size or not finite.
Tensor token_values(const Tensor& values, const Tensor& like, const std::string& field) {
  losses::check_vector(values, like.size(0), field);
  losses::check_finite(values, field);
  return values.detach().to(like.scalar_type());
}

Terms terms_of(const CompletionLogProbs& policy, const GrpoBatch& batch, const GrpoOptions& options) {
  losses::check_completions(policy, "policy");
  if (policy.completions() == 0) throw Error(ErrorKind::usage, "no completions", {.field = "policy"});
  losses::check_range(batch.accumulation_steps >= 1, "accumulation_steps", "at least 1",
                      static_cast<double>(batch.accumulation_steps));
  Terms t{.policy = policy, .batch = batch, .options = options};
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
Tensor off_policy_mask(const Terms& t, double threshold) {
  const Tensor drift = t.completion_sums(t.log_ratio.detach().neg()).div(t.lengths.clamp_min(1));
  return t.advantages.ge(0).logical_or(drift.le(threshold)).to(t.log_probs.scalar_type());
}

/// 1 for the tokens of most entropy, [tokens]; undefined: all.
Tensor entropy_mask(const Terms& t) {
  if (t.options.top_entropy_quantile >= 1) return {};
  const Tensor& entropy = t.policy.entropy;
  losses::check_vector(entropy, t.log_probs.size(0), "policy.entropy");
  if (entropy.size(0) == 0) return {};
  const Tensor values = losses::wide(entropy.detach());
  const Tensor bound = values.quantile(1 - t.options.top_entropy_quantile);
  return values.ge(bound).to(t.log_probs.scalar_type());
}

Tensor entropy_bonus(const Terms& t, const Tensor& mask) {
  const Tensor& entropy = t.policy.entropy;
  losses::check_vector(entropy, t.log_probs.size(0), "policy.entropy");
  if (t.log_probs.requires_grad() && !entropy.requires_grad()) {
    throw Error(ErrorKind::usage, "an entropy bonus needs an entropy with a gradient", {.field = "policy.entropy"});
  }
  const Tensor values = losses::wide(entropy);
  if (!mask.defined()) return values.sum().div(t.tokens());
  return values.mul(mask).sum().div(mask.sum().clamp_min(1));
}

Tensor kl_of(const Terms& t) {
  const Tensor d = token_values(t.batch.ref_log_probs, t.log_probs, "ref_log_probs").sub(t.log_probs);
  const Tensor kl = d.exp().sub(d).sub(1);
  return t.options.use_bias_correction_kl ? kl.mul(t.spread(t.ratio)) : kl;
}

}  // namespace

std::string_view to_string(GrpoLossType type) noexcept { return losses::name_in(kRows, type); }
GrpoLossType parse_grpo_loss_type(std::string_view name) { return losses::parse_name(kRows, name, "loss_type"); }

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
}

LossResult grpo_loss(const CompletionLogProbs& policy, const GrpoBatch& batch, const GrpoOptions& options) {
  check(options);
  const GrpoRow& row = row_of(options.loss_type);
  const Terms t = terms_of(policy, batch, options);
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
  if (row.reduce != share_of_step) loss = loss.div(steps(t));
  if (options.entropy_coef != 0) loss = loss.sub(entropy_bonus(t, mask).div(steps(t)).mul(options.entropy_coef));
  losses::add_entropy(metrics, {&policy});
  return losses::finish(std::move(loss), std::move(metrics), "grpo_loss");
}

}  // namespace powerhouse
