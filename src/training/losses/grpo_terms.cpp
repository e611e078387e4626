// The loss types of GRPO's kin: a term a token or a completion, and the way to one number. Papers:
// include/powerhouse/policy_losses.h.
#include "training/losses/grpo_terms.h"

#include <cmath>

#include "training/losses/clip_metrics.h"

namespace powerhouse {
namespace losses {
namespace {

using at::Tensor;

Tensor clipped(const GrpoTerms& t, Metrics& metrics) {
  const GrpoOptions& o = t.options;
  const Tensor advantages = t.unit_advantages();
  const Tensor bounded = o.delta ? t.ratio.clamp_max(*o.delta) : t.ratio;
  add_clip_metrics(metrics, bounded, advantages, 1 - o.epsilon, 1 + t.high,
                   t.of_sequences ? nullptr : &t.policy.cu_seqlens);
  return bounded.mul(advantages).minimum(t.ratio.clamp(1 - o.epsilon, 1 + t.high).mul(advantages)).neg();
}

Tensor cispo(const GrpoTerms& t, Metrics& metrics) {
  const Tensor advantages = t.unit_advantages(), ratio = t.ratio.detach();
  add_metric(metrics, "cispo_clip_ratio", ratio.gt(t.high).logical_and(advantages.gt(0)));
  return t.spread(ratio.clamp_max(t.high).mul(advantages)).neg().mul(t.log_probs);
}

Tensor sapo(const GrpoTerms& t, Metrics&) {
  const Tensor advantages = t.unit_advantages();
  const Tensor positive = advantages.gt(0).to(advantages.scalar_type());
  const Tensor temperature =
      positive.mul(t.options.sapo_temperature_pos - t.options.sapo_temperature_neg).add(t.options.sapo_temperature_neg);
  return t.ratio.sub(1).mul(temperature).sigmoid().mul(4).div(temperature).mul(advantages).neg();
}

/// φ(w) = e^λ w^k e^(-λw), so that φ(1) = 1; w the product of all tokens' ratios, and of trainer's over sampler's.
Tensor vespo(const GrpoTerms& t, Metrics& metrics) {
  const GrpoOptions& o = t.options;
  const double lowest = std::log(1e-8);
  Tensor log_w = t.completion_sums(t.log_ratio.detach().clamp(-20, 20));
  if (t.sampling.defined()) log_w = log_w.add(t.completion_sums(t.sampling.log().clamp(lowest, 20)));
  log_w = log_w.clamp(lowest, 20);
  const Tensor positive = t.advantages.ge(0).to(log_w.scalar_type());
  const Tensor k = positive.mul(o.vespo_k_pos - o.vespo_k_neg).add(o.vespo_k_neg);
  const Tensor lambda = positive.mul(o.vespo_lambda_pos - o.vespo_lambda_neg).add(o.vespo_lambda_neg).clamp_min(1e-4);
  const Tensor phi = lambda.add(k.mul(log_w)).sub(lambda.mul(log_w.exp())).exp().nan_to_num(0, 0, 0);
  add_metric(metrics, "vespo/phi_seq_mean", phi);
  return t.to_tokens(phi.mul(t.advantages)).neg().mul(t.log_probs);
}

double step_tokens(const GrpoTerms& t) {
  return t.batch.num_items_in_batch > 0 ? static_cast<double>(t.batch.num_items_in_batch) : t.tokens();
}

Tensor mean_of_means(const GrpoTerms& t, const Tensor& each) {
  return t.completion_sums(each).div(t.lengths.clamp_min(1)).mean();
}
Tensor mean_of_sums(const GrpoTerms& t, const Tensor& each) { return t.completion_sums(each).mean(); }
Tensor mean_of_tokens(const GrpoTerms& t, const Tensor& each) { return each.sum().div(t.tokens()); }
Tensor share_of_step(const GrpoTerms& t, const Tensor& each) { return each.sum().div(step_tokens(t)); }
Tensor share_of_longest(const GrpoTerms& t, const Tensor& each) {
  return each.sum().div(static_cast<double>(t.policy.completions() * t.options.max_completion_length));
}

constexpr GrpoRow kGrpoRows[] = {
    {"grpo", GrpoLossType::grpo, clipped, mean_of_means, true, false},
    {"bnpo", GrpoLossType::bnpo, clipped, mean_of_tokens, true, false},
    {"dr_grpo", GrpoLossType::dr_grpo, clipped, share_of_longest, true, false},
    {"dapo", GrpoLossType::dapo, clipped, share_of_step, true, true},
    {"luspo", GrpoLossType::luspo, clipped, mean_of_sums, true, false},
    {"cispo", GrpoLossType::cispo, cispo, share_of_step, false, true},
    {"sapo", GrpoLossType::sapo, sapo, mean_of_means, true, false},
    {"vespo", GrpoLossType::vespo, vespo, share_of_step, false, true},
};

}  // namespace

const GrpoRow& grpo_row(GrpoLossType type) {
  for (const GrpoRow& row : kGrpoRows) {
    if (row.value == type) return row;
  }
  throw Error(ErrorKind::usage, "no such loss type of GRPO", {.field = "loss_type"});
}

}  // namespace losses

std::string_view to_string(GrpoLossType type) noexcept { return losses::name_in(losses::kGrpoRows, type); }
GrpoLossType parse_grpo_loss_type(std::string_view name) {
  return losses::parse_name(losses::kGrpoRows, name, "loss_type");
}

}  // namespace powerhouse
