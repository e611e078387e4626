// Names of DPO's loss types and divergences, and which options go together.
#include <cmath>

#include "training/losses/common.h"
#include "training/losses/dpo_terms.h"

namespace powerhouse {
namespace {

using losses::DpoRow;

struct DivergenceName {
  std::string_view name;
  FDivergence value;
};
constexpr DivergenceName kDivergences[] = {{"reverse_kl", FDivergence::reverse_kl},
                                           {"forward_kl", FDivergence::forward_kl},
                                           {"js_divergence", FDivergence::js_divergence},
                                           {"alpha_divergence", FDivergence::alpha_divergence}};

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

}  // namespace

namespace losses {

const DpoRow& dpo_row(DpoLossType type) {
  for (const DpoRow& row : dpo_rows()) {
    if (row.value == type) return row;
  }
  throw Error(ErrorKind::usage, "no such loss type of DPO", {.field = "loss_type"});
}

}  // namespace losses

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
  for (const DpoLossType type : options.loss_type) check_row(losses::dpo_row(type), options);
}

}  // namespace powerhouse
