// The loss types of DPO, one function each, and the table of their names. Papers: include/powerhouse/dpo_loss.h.
#include <ATen/core/Tensor.h>
#include <ATen/ops/log_sigmoid_ops.h>

#include <cmath>
#include <numbers>

#include "training/losses/common.h"
#include "training/losses/dpo_terms.h"

namespace powerhouse::losses {
namespace {

using at::Tensor;

/// -(1-ε) log σ(x) - ε log σ(-x)
Tensor smoothed(const Tensor& x, double epsilon) {
  return log_sigmoid(x).mul(epsilon - 1).sub(log_sigmoid(x.neg()).mul(epsilon));
}

Tensor sigmoid(const DpoTerms& t, const DpoOptions& o) { return log_sigmoid(t.delta.mul(o.beta)).neg(); }

Tensor cdpo(const DpoTerms& t, const DpoOptions& o) { return smoothed(t.delta.mul(o.beta), o.label_smoothing); }

Tensor hinge(const DpoTerms& t, const DpoOptions& o) { return t.delta.mul(-o.beta).add(1).relu(); }

Tensor ipo(const DpoTerms& t, const DpoOptions& o) { return t.mean_delta().sub(0.5 / o.beta).square(); }

Tensor ipo_sum(const DpoTerms& t, const DpoOptions& o) { return t.delta.sub(0.5 / o.beta).square(); }

Tensor sigmoid_norm(const DpoTerms& t, const DpoOptions& o) { return log_sigmoid(t.mean_delta().mul(o.beta)).neg(); }

Tensor exo_pair(const DpoTerms& t, const DpoOptions& o) {
  const Tensor x = t.delta.mul(o.beta), log_w = log_sigmoid(x), log_l = log_sigmoid(x.neg());
  return x.sigmoid()
      .mul(log_w.sub(std::log1p(-o.label_smoothing)))
      .add(x.neg().sigmoid().mul(log_l.sub(std::log(o.label_smoothing))));
}

Tensor nca_pair(const DpoTerms& t, const DpoOptions& o) {
  const Tensor chosen = t.ratios.chosen.mul(o.beta), rejected = t.ratios.rejected.mul(o.beta);
  return log_sigmoid(chosen).add(log_sigmoid(chosen.neg()).add(log_sigmoid(rejected.neg())).mul(0.5)).neg();
}

Tensor robust(const DpoTerms& t, const DpoOptions& o) {
  const double epsilon = o.label_smoothing;
  const Tensor x = t.delta.mul(o.beta);
  return log_sigmoid(x).mul(epsilon - 1).add(log_sigmoid(x.neg()).mul(epsilon)).div(1 - 2 * epsilon);
}

Tensor bco_pair(const DpoTerms& t, const DpoOptions& o) {
  const Tensor chosen = t.ratios.chosen.mul(o.beta).sub(o.bco_reward_shift);
  const Tensor rejected = t.ratios.rejected.mul(o.beta).sub(o.bco_reward_shift);
  return log_sigmoid(chosen).add(log_sigmoid(rejected.neg())).neg();
}

Tensor sppo_hard(const DpoTerms& t, const DpoOptions& o) {
  return t.ratios.chosen.sub(0.5 / o.beta).square().add(t.ratios.rejected.add(0.5 / o.beta).square());
}

Tensor sorted(const Tensor& values) { return std::get<0>(values.sort(0)); }

Tensor aot(const DpoTerms& t, const DpoOptions& o) {
  const Tensor policy = t.log_probs.chosen.sub(t.log_probs.rejected);
  const Tensor reference = t.reference.chosen.sub(t.reference.rejected);
  return smoothed(sorted(policy).sub(sorted(reference)).mul(o.beta), o.label_smoothing);
}

Tensor aot_unpaired(const DpoTerms& t, const DpoOptions& o) {
  return smoothed(sorted(t.ratios.chosen).sub(sorted(t.ratios.rejected)).mul(o.beta), o.label_smoothing);
}

Tensor apo_zero(const DpoTerms& t, const DpoOptions& o) {
  return t.ratios.rejected.mul(o.beta).sigmoid().add(1).sub(t.ratios.chosen.mul(o.beta).sigmoid());
}

Tensor apo_down(const DpoTerms& t, const DpoOptions& o) {
  const Tensor margin = t.ratios.chosen.sub(t.ratios.rejected);
  return t.ratios.chosen.mul(o.beta).sigmoid().add(1).sub(margin.mul(o.beta).sigmoid());
}

/// σ(x/τ) exp(-x) as one exponential: far below 0 the factors are 0 and infinite, their product is not.
Tensor discopop(const DpoTerms& t, const DpoOptions& o) {
  const Tensor x = t.delta.mul(o.beta), mix = x.div(o.discopop_tau);
  return log_sigmoid(x).mul(mix.neg().sigmoid()).neg().add(log_sigmoid(mix).sub(x).exp());
}

Tensor sft(const DpoTerms& t, const DpoOptions&) {
  const Tensor tokens = wide(t.policy.chosen.token_log_probs);
  if (tokens.size(0) == 0) {
    throw Error(ErrorKind::numeric, "no chosen completion of the batch has a token: sft is a mean over them",
                {.field = "policy.chosen"});
  }
  return tokens.mean().neg().expand({t.delta.size(0)});
}

constexpr DpoRow kDpoRows[] = {
    {"sigmoid", DpoLossType::sigmoid, sigmoid, true, true},
    {"hinge", DpoLossType::hinge, hinge, true, true},
    {"ipo", DpoLossType::ipo, ipo, true, true},
    {"exo_pair", DpoLossType::exo_pair, exo_pair, true, true},
    {"nca_pair", DpoLossType::nca_pair, nca_pair, false, true},
    {"robust", DpoLossType::robust, robust, true, true},
    {"bco_pair", DpoLossType::bco_pair, bco_pair, false, true},
    {"sppo_hard", DpoLossType::sppo_hard, sppo_hard, false, true},
    {"aot", DpoLossType::aot, aot, false, false},
    {"aot_unpaired", DpoLossType::aot_unpaired, aot_unpaired, false, false},
    {"apo_zero", DpoLossType::apo_zero, apo_zero, false, true},
    {"apo_down", DpoLossType::apo_down, apo_down, false, true},
    {"discopop", DpoLossType::discopop, discopop, true, true},
    {"sft", DpoLossType::sft, sft, true, false},
    {"sigmoid_norm", DpoLossType::sigmoid_norm, sigmoid_norm, true, true},
    {"ipo_sum", DpoLossType::ipo_sum, ipo_sum, true, true},
    {"cdpo", DpoLossType::cdpo, cdpo, true, true},
};

}  // namespace

std::span<const DpoRow> dpo_rows() { return kDpoRows; }

at::Tensor divergence_score(const at::Tensor& ratios, const DpoOptions& options) {
  switch (options.f_divergence_type) {
    case FDivergence::reverse_kl: break;
    case FDivergence::forward_kl: return ratios.neg().exp().neg().add(1);
    case FDivergence::js_divergence: return log_sigmoid(ratios).add(std::numbers::ln2);
    case FDivergence::alpha_divergence: {
      const double slope = options.f_alpha_divergence_coef - 1;
      if (std::abs(slope) < 1e-6) break;
      return ratios.mul(slope).clamp_max(80).exp().sub(1).div(slope);
    }
  }
  return ratios;
}

}  // namespace powerhouse::losses
