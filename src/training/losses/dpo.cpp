// dpo_loss: log-ratios, scores and weights of pairs around the loss types of dpo_losses.cpp.
#include "powerhouse/dpo_loss.h"

#include <cmath>

#include "training/losses/common.h"
#include "training/losses/dpo_terms.h"

namespace powerhouse {
namespace {

using losses::DpoRow;
using losses::DpoTerms;

struct DivergenceName {
  std::string_view name;
  FDivergence value;
};
constexpr DivergenceName kDivergences[] = {{"reverse_kl", FDivergence::reverse_kl},
                                           {"forward_kl", FDivergence::forward_kl},
                                           {"js_divergence", FDivergence::js_divergence},
                                           {"alpha_divergence", FDivergence::alpha_divergence}};

const DpoRow& row_of(DpoLossType type) {
  for (const DpoRow& row : losses::dpo_rows()) {
    if (row.value == type) return row;
  }
  throw Error(ErrorKind::usage, "no such loss type of DPO", {.field = "loss_type"});
}

[[noreturn]] void refuse(const std::string& what, std::string_view field, std::string_view found) {
  throw Error(ErrorKind::usage, what, {.field = std::string(field), .found = std::string(found)});
}

void check_row(const DpoRow& row, const DpoOptions& options) {
  const double epsilon = options.label_smoothing;
  if (row.value == DpoLossType::exo_pair) {
    losses::check_range(epsilon > 0 && epsilon < 1, "label_smoothing", "above 0 and below 1 for exo_pair (1e-3)",
                        epsilon);
  }
  if (row.value == DpoLossType::robust) {
    losses::check_range(epsilon < 0.5, "label_smoothing", "0 to below 0.5 for robust", epsilon);
  }
  if (options.f_divergence_type != FDivergence::reverse_kl && !row.any_divergence) {
    refuse("this loss type knows no divergence but reverse_kl", "loss_type", row.name);
  }
  if (options.use_weighting && !row.weighted) {
    refuse("use_weighting needs a loss of each pair, which this loss type has not", "loss_type", row.name);
  }
}

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
  terms.lengths = {lengths_of(policy.chosen, terms.scores.chosen), lengths_of(policy.rejected, terms.scores.rejected)};
  terms.delta = terms.scores.chosen.sub(terms.scores.rejected);
  return terms;
}

}  // namespace

std::string_view to_string(DpoLossType type) noexcept { return losses::name_in(losses::dpo_rows(), type); }
DpoLossType parse_dpo_loss_type(std::string_view name) {
  return losses::parse_name(losses::dpo_rows(), name, "loss_type");
}
std::string_view to_string(FDivergence divergence) noexcept { return losses::name_in(kDivergences, divergence); }
FDivergence parse_f_divergence(std::string_view name) {
  return losses::parse_name(kDivergences, name, "f_divergence_type");
}

void check(const DpoOptions& options) {
  losses::check_range(options.beta > 0 && std::isfinite(options.beta), "beta", "above 0", options.beta);
  losses::check_range(options.label_smoothing >= 0 && options.label_smoothing <= 1, "label_smoothing", "0 to 1",
                      options.label_smoothing);
  losses::check_range(options.discopop_tau > 0, "discopop_tau", "above 0", options.discopop_tau);
  losses::check_range(std::isfinite(options.f_alpha_divergence_coef), "f_alpha_divergence_coef", "a number",
                      options.f_alpha_divergence_coef);
  losses::check_range(std::isfinite(options.bco_reward_shift), "bco_reward_shift", "a number",
                      options.bco_reward_shift);
  const double alpha = options.ld_alpha.value_or(1);
  losses::check_range(alpha >= 0 && alpha <= 1, "ld_alpha", "0 to 1", alpha);
  if (options.loss_type.empty()) refuse("no loss type", "loss_type", "none");
  if (!options.loss_weights.empty() && options.loss_weights.size() != options.loss_type.size()) {
    refuse("another number of weights than of loss types", "loss_weights", std::to_string(options.loss_weights.size()));
  }
  for (const double weight : options.loss_weights) {
    losses::check_range(std::isfinite(weight), "loss_weights", "numbers", weight);
  }
  for (const DpoLossType type : options.loss_type) check_row(row_of(type), options);
}

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
    at::Tensor each = row_of(options.loss_type[i]).loss(terms, options);
    if (weights.defined()) each = each.mul(weights);
    at::Tensor part = each.mean();
    if (!options.loss_weights.empty()) part = part.mul(options.loss_weights[i]);
    loss = loss.defined() ? loss.add(part) : part;
  }
  Metrics metrics;
  losses::add_pair_metrics(
      metrics, {terms.ratios.chosen.detach().mul(options.beta), terms.ratios.rejected.detach().mul(options.beta)},
      terms.log_probs);
  losses::add_entropy(metrics, {&policy.chosen, &policy.rejected});
  return losses::finish(std::move(loss), std::move(metrics), "dpo_loss");
}

}  // namespace powerhouse
