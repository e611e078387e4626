// KTO (Ethayarajh et al. 2024, arXiv 2402.01306): completions that are desirable or not, without pairs. With the
// log-ratio u [completions] and the batch's divergence z, 1 - σ(β(u - z)) or 1 - σ(β(z - u)), weighted, and their mean.
#include <cmath>

#include "ops/tensors.h"
#include "powerhouse/preference_losses.h"
#include "training/losses/common.h"

namespace powerhouse {
namespace {

using at::Tensor;

constexpr struct KtoRow {
  std::string_view name;
  KtoLossType value;
} kKtoRows[] = {{"kto", KtoLossType::kto}, {"apo_zero_unpaired", KtoLossType::apo_zero_unpaired}};

/// Rows whose log-ratio counts, by label.
struct Labels {
  std::vector<std::int64_t> chosen, rejected;
  std::int64_t skipped = 0;
};

Labels labels_of(const Tensor& ratios, const std::vector<bool>& desirable) {
  Labels labels;
  const Tensor doubles = ratios.detach().to(at::kCPU, at::kDouble).contiguous();
  const auto* const ratio = doubles.const_data_ptr<double>();
  for (std::size_t i = 0; i < desirable.size(); ++i) {
    if (std::isnan(ratio[i])) {
      ++labels.skipped;
    } else if (std::isinf(ratio[i])) {
      throw Error(ErrorKind::numeric, "a log-ratio of this batch is infinite",
                  {.field = "completion " + std::to_string(i), .expected = "finite log-probabilities"});
    } else {
      (desirable[i] ? labels.chosen : labels.rejected).push_back(static_cast<std::int64_t>(i));
    }
  }
  if (labels.chosen.empty() && labels.rejected.empty()) {
    throw Error(ErrorKind::numeric, "no completion of the batch has a log-ratio", {.field = "kto_loss"});
  }
  return labels;
}

struct Side {
  Tensor losses, rewards, log_probs;
};

/// `sign` 1: 1 - σ(β(u - z)); -1: 1 - σ(β(z - u)).
Side side_of(const Tensor& log_probs, const Tensor& ratios, const std::vector<std::int64_t>& rows, double sign,
             const Tensor& z, const KtoOptions& options) {
  const Tensor index = index_tensor(rows).to(ratios.device());
  const Tensor u = ratios.index_select(0, index);
  return {u.sub(z).mul(-sign * options.beta).sigmoid(), u.detach().mul(options.beta),
          log_probs.detach().index_select(0, index)};
}

void add_metrics(Metrics& metrics, const Side& chosen, const Side& rejected) {
  losses::add_metric(metrics, "rewards/chosen", chosen.rewards);
  losses::add_metric(metrics, "logps/chosen", chosen.log_probs);
  losses::add_metric(metrics, "rewards/rejected", rejected.rewards);
  losses::add_metric(metrics, "logps/rejected", rejected.log_probs);
  losses::add_metric(metrics, "rewards/margins", chosen.rewards.mean().sub(rejected.rewards.mean()));
}

void add_logits(Metrics& metrics, const CompletionLogProbs& policy, const std::vector<bool>& desirable) {
  if (!policy.mean_logits.defined()) return;
  std::vector<std::int64_t> chosen, rejected;  // tokens
  for (std::size_t i = 0; i < desirable.size(); ++i) {
    std::vector<std::int64_t>& side = desirable[i] ? chosen : rejected;
    for (std::int64_t t = policy.cu_seqlens[i]; t < policy.cu_seqlens[i + 1]; ++t) side.push_back(t);
  }
  losses::add_metric(metrics, "logits/chosen", policy.mean_logits.index_select(0, index_tensor(chosen)));
  losses::add_metric(metrics, "logits/rejected", policy.mean_logits.index_select(0, index_tensor(rejected)));
}

}  // namespace

std::string_view to_string(KtoLossType type) noexcept { return losses::name_in(kKtoRows, type); }
KtoLossType parse_kto_loss_type(std::string_view name) { return losses::parse_name(kKtoRows, name, "loss_type"); }

void check(const KtoOptions& options) {
  losses::check_range(options.beta > 0 && std::isfinite(options.beta), "beta", "above 0", options.beta);
  losses::check_range(options.desirable_weight >= 0 && std::isfinite(options.desirable_weight), "desirable_weight",
                      "at least 0", options.desirable_weight);
  losses::check_range(options.undesirable_weight >= 0 && std::isfinite(options.undesirable_weight),
                      "undesirable_weight", "at least 0", options.undesirable_weight);
}

at::Tensor kto_kl(const at::Tensor& policy_sums, const at::Tensor& reference_sums) {
  losses::check_vector(policy_sums, policy_sums.defined() ? policy_sums.numel() : 0, "policy_sums");
  losses::check_vector(reference_sums, policy_sums.size(0), "reference_sums");
  if (policy_sums.size(0) == 0) throw Error(ErrorKind::usage, "no completions", {.field = "policy_sums"});
  const Tensor ratios = losses::wide(policy_sums.detach()).sub(losses::wide(reference_sums.detach()));
  losses::check_finite(ratios, "mismatched completions");
  return ratios.mean().clamp_min(0);
}

LossResult kto_loss(const CompletionLogProbs& policy, const at::Tensor& reference_sums,
                    const std::vector<bool>& desirable, const at::Tensor& kl, const KtoOptions& options) {
  check(options);
  const Tensor log_probs = sums(policy);
  losses::check_vector(reference_sums, log_probs.size(0), "reference_sums");
  if (static_cast<std::int64_t>(desirable.size()) != log_probs.size(0) || desirable.empty()) {
    throw Error(ErrorKind::usage, "another number of labels than of completions",
                {.field = "desirable",
                 .expected = std::to_string(log_probs.size(0)) + ", above 0",
                 .found = std::to_string(desirable.size())});
  }
  Tensor z = log_probs.new_zeros({1});
  if (options.loss_type == KtoLossType::kto) {
    if (!kl.defined()) throw Error(ErrorKind::usage, "kto needs the divergence of kto_kl", {.field = "kl"});
    z = kl.detach().reshape({-1}).to(log_probs.device(), log_probs.scalar_type());
    losses::check_vector(z, 1, "kl");
    losses::check_finite(z, "kl");
  }
  const Tensor ratios = log_probs.sub(losses::wide(reference_sums.detach()));
  const Labels labels = labels_of(ratios, desirable);
  const Side chosen = side_of(log_probs, ratios, labels.chosen, 1, z, options);
  const Side rejected = side_of(log_probs, ratios, labels.rejected, -1, z, options);
  const Tensor loss =
      concatenate({chosen.losses.mul(options.desirable_weight), rejected.losses.mul(options.undesirable_weight)}, 0)
          .mean();
  Metrics metrics;
  losses::add_metric(metrics, "kl", z);
  add_metrics(metrics, chosen, rejected);
  losses::add_entropy(metrics, {&policy});
  add_logits(metrics, policy, desirable);
  if (labels.skipped > 0) metrics.emplace_back("skipped", static_cast<double>(labels.skipped));
  return losses::finish(loss, std::move(metrics), "kto_loss");
}

}  // namespace powerhouse
