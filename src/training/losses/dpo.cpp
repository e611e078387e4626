// dpo_loss: log-ratios, scores and weights of pairs around the loss types of dpo_losses.cpp.
#include "powerhouse/dpo_loss.h"

#include "training/losses/common.h"
#include "training/losses/dpo_terms.h"

namespace powerhouse {
namespace {

using losses::DpoTerms;

/// LD-DPO: tokens up to the shorter completion's length count 1, those beyond alpha.
at::Tensor weighted_sums(const CompletionLogProbs& side, const CompletionLogProbs& other, double alpha) {
  std::vector<double> weights;
  for (std::int64_t i = 0; i < side.completions(); ++i) {
    const std::int64_t length = side.cu_seqlens[i + 1] - side.cu_seqlens[i];
    const std::int64_t shared = std::min(length, other.cu_seqlens[i + 1] - other.cu_seqlens[i]);
    weights.insert(weights.end(), shared, 1.0);
    weights.insert(weights.end(), length - shared, alpha);
  }
  const at::Tensor tokens = losses::wide(side.token_log_probs);
  return losses::segment_sums(tokens.mul(losses::constant(weights, tokens)), side.cu_seqlens);
}

at::Tensor lengths_of(const CompletionLogProbs& side, const at::Tensor& like) {
  if (side.lengths.empty()) return losses::counts(side.cu_seqlens, like).clamp_min(1);
  return losses::constant({side.lengths.begin(), side.lengths.end()}, like).clamp_min(1);
}

/// WPO: exp of the mean of log p - log Σp² over a completion's tokens.
at::Tensor wpo_weights(const CompletionLogProbs& side) {
  losses::check_vector(side.log_sum_sq_probs, side.token_log_probs.size(0), "log_sum_sq_probs");
  const at::Tensor aligned = losses::wide(side.token_log_probs.detach()).sub(side.log_sum_sq_probs.detach());
  const at::Tensor total = losses::segment_sums(aligned, side.cu_seqlens);
  return total.div(losses::counts(side.cu_seqlens, total).clamp_min(1)).exp();
}

DpoTerms terms_of(const PairLogProbs& policy, const PairSums& reference, const DpoOptions& options) {
  const std::int64_t pairs = policy.chosen.completions();
  DpoTerms terms{.policy = policy, .log_probs = pair_sums(policy, options.ld_alpha)};
  losses::check_vector(reference.chosen, pairs, "reference.chosen");
  losses::check_vector(reference.rejected, pairs, "reference.rejected");
  losses::check_finite(terms.log_probs.chosen, "policy.chosen");
  losses::check_finite(terms.log_probs.rejected, "policy.rejected");
  losses::check_finite(reference.chosen, "reference.chosen");
  losses::check_finite(reference.rejected, "reference.rejected");
  const at::ScalarType type = terms.log_probs.chosen.scalar_type();
  terms.reference = {reference.chosen.detach().to(type), reference.rejected.detach().to(type)};
  terms.ratios = {terms.log_probs.chosen.sub(terms.reference.chosen),
                  terms.log_probs.rejected.sub(terms.reference.rejected)};
  terms.scores = {losses::divergence_score(terms.ratios.chosen, options),
                  losses::divergence_score(terms.ratios.rejected, options)};
  // An infinite score may leave the loss a number, but no gradient.
  losses::check_finite(terms.scores.chosen, "scores.chosen");
  losses::check_finite(terms.scores.rejected, "scores.rejected");
  terms.lengths = {lengths_of(policy.chosen, terms.scores.chosen), lengths_of(policy.rejected, terms.scores.rejected)};
  terms.delta = terms.scores.chosen.sub(terms.scores.rejected);
  return terms;
}

}  // namespace

PairSums pair_sums(const PairLogProbs& pairs, std::optional<double> ld_alpha) {
  losses::check_pairs(pairs);
  if (!ld_alpha) return {sums(pairs.chosen), sums(pairs.rejected)};
  losses::check_range(*ld_alpha >= 0 && *ld_alpha <= 1, "ld_alpha", "0 to 1", *ld_alpha);
  return {weighted_sums(pairs.chosen, pairs.rejected, *ld_alpha),
          weighted_sums(pairs.rejected, pairs.chosen, *ld_alpha)};
}

LossResult dpo_loss(const PairLogProbs& policy, const PairSums& reference, const DpoOptions& options) {
  check(options);
  const DpoTerms terms = terms_of(policy, reference, options);
  at::Tensor weights;
  if (options.use_weighting) weights = wpo_weights(policy.chosen).mul(wpo_weights(policy.rejected));
  at::Tensor loss;
  for (std::size_t i = 0; i < options.loss_type.size(); ++i) {
    at::Tensor each = losses::dpo_row(options.loss_type[i]).loss(terms, options);
    if (weights.defined()) each = each.mul(weights);
    at::Tensor part = each.mean();
    if (!options.loss_weights.empty()) part = part.mul(options.loss_weights[i]);
    loss = loss.defined() ? loss.add(part) : part;
  }
  Metrics metrics;
  losses::add_pair_metrics(
      metrics, {terms.ratios.chosen.detach().mul(options.beta), terms.ratios.rejected.detach().mul(options.beta)},
      terms.log_probs);
  losses::add_pair_token_metrics(metrics, policy);
  if (policy.chosen.is_top1.defined()) losses::add_metric(metrics, "mean_token_accuracy", policy.chosen.is_top1);
  return losses::finish(std::move(loss), std::move(metrics), "dpo_loss");
}

}  // namespace powerhouse
