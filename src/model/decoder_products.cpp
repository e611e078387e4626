// What a decoder multiplies by: maps of its layers, norms, and its head.
#include "model/decoder_pass.h"
#include "model/exact_product.h"
#include "model/plan.h"
#include "ops/activation.h"
#include "ops/adapted_linear.h"
#include "ops/block_product.h"
#include "ops/exact.h"
#include "ops/linear.h"
#include "ops/norm.h"
#include "ops/tensors.h"

namespace powerhouse {

at::Tensor Decoder::linear(const Pass& pass, std::int64_t layer, Role role, const at::Tensor& x, Values values) const {
  if (pass.observer != nullptr) (*pass.observer)(layer, role, -1, x);
  const LayerWeights& weights = layer < 0 ? weights_.outside() : weights_.layer(layer);
  if (values == Values::unread && !pass.arithmetic.planned()) {
    const BaseModule base{weights.weight(role), weights.bias(role)};
    if (auto part = linear_part(base, pass.adapters(layer, role), pass.adapted())) {
      part->unread = true;
      return ops::adapted_linears(x, {&*part, 1}, pass.arithmetic.numerics)[0];
    }
  }
  if (const ModuleAdapters* adapters = pass.adapters(layer, role)) {
    return adapted_product(x, {weights.weight(role), weights.bias(role)}, *adapters, pass.adapted());
  }
  if (pass.arithmetic.planned()) return planned_linear(*pass.arithmetic.plan->matrix(layer, role), weights, role, x);
  if (pass.training != nullptr) {
    return ops::adapted_linear(x, weights.weight(role), weights.bias(role), {}, pass.arithmetic.numerics);
  }
  if (weights.weight(role).device_blocks().defined()) {
    if (needs_autograd(x)) return ops::adapted_linear(x, weights.weight(role), weights.bias(role), {});
    return ops::block_product(x, weights.weight(role), weights.bias(role));
  }
  return ops::linear(x, weights.matrix(role), weights.bias(role), pass.arithmetic.numerics);
}

// Maps that read the same rows: training makes them together where it can.
std::vector<at::Tensor> Decoder::linears(const Pass& pass, std::int64_t layer, std::span<const Role> roles,
                                         const at::Tensor& x) const {
  const LayerWeights& weights = weights_.layer(layer);
  std::vector<ops::LinearPart> parts;
  for (const Role role : roles) {
    if (pass.training == nullptr || pass.arithmetic.planned()) break;
    auto part = linear_part({weights.weight(role), weights.bias(role)}, pass.adapters(layer, role), pass.adapted());
    if (!part) break;
    parts.push_back(std::move(*part));
  }
  if (parts.size() == roles.size()) return ops::adapted_linears(x, parts, pass.arithmetic.numerics);
  std::vector<at::Tensor> out;
  for (const Role role : roles) out.push_back(linear(pass, layer, role, x));
  return out;
}

at::Tensor Decoder::norm(const Pass& pass, std::int64_t layer, Role role, const Norm& choice,
                         const at::Tensor& x) const {
  const LayerWeights& weights = layer < 0 ? weights_.outside() : weights_.layer(layer);
  if (const ModuleAdapters* own = pass.adapters(layer, role)) {
    const auto either = [](const at::Tensor& replaced, const at::Tensor& base) {
      return replaced.defined() ? replaced.to(base.scalar_type()) : base;
    };
    return ops::norm(x, choice, either(own->weight, weights[role]), either(own->bias, weights.bias(role)),
                     pass.arithmetic.numerics);
  }
  return ops::norm(x, choice, weights[role], weights.bias(role), pass.arithmetic.numerics);
}

at::Tensor Decoder::logits(const at::Tensor& hidden, const Arithmetic& arithmetic,
                           std::optional<std::int64_t> first_row) const {
  const at::Tensor& bias = weights_.outside().bias(Role::lm_head);
  at::Tensor logits;
  const ModuleAdapters* adapters =
      arithmetic.adapters == nullptr ? nullptr : arithmetic.adapters->find(-1, Role::lm_head);
  if (adapters != nullptr) {
    logits = adapted_product_f32(hidden, {weights_.lm_head_weight(), bias}, *adapters,
                                 {.numerics = arithmetic.numerics,
                                  .dropout_key = arithmetic.dropout_key,
                                  .first_row = first_row.value_or(0),
                                  .keep_blocks = first_row.has_value() || !hidden.is_cpu()});
  } else if (arithmetic.planned()) {
    logits = ops::differentiable_as(multiply_rows(*arithmetic.plan->matrix(-1, Role::lm_head), hidden),
                                    needs_autograd(hidden),
                                    [&] { return ops::linear_f32(hidden, weights_.lm_head(), bias); });
  } else if (weights_.lm_head_weight().device_blocks().defined() && !needs_autograd(hidden)) {
    logits = ops::block_product_f32(hidden, weights_.lm_head_weight(), bias);
  } else {
    logits = ops::linear_f32(hidden, weights_.lm_head(), bias, arithmetic.numerics);
  }
  return scaled_logits(std::move(logits), arithmetic);
}

at::Tensor Decoder::scaled_logits(at::Tensor logits, const Arithmetic& arithmetic) const {
  if (config_.final_softcap && arithmetic.numerics == Numerics::exact) {
    logits = ops::exact_softcap(logits, config_.logit_scale, *config_.final_softcap);
  } else {
    if (config_.logit_scale != 1.0f) logits = logits.mul(config_.logit_scale);
    if (config_.final_softcap) logits = logits.div(*config_.final_softcap).tanh().mul(*config_.final_softcap);
  }
  return logits;
}

at::Tensor Decoder::scores(const at::Tensor& hidden, const Arithmetic& arithmetic) const {
  const Weight& weight = weights_.outside().weight(Role::score);
  const at::Tensor no_bias;
  const ModuleAdapters* adapters =
      arithmetic.adapters == nullptr ? nullptr : arithmetic.adapters->find(-1, Role::score);
  if (adapters == nullptr) return ops::linear_f32(hidden, weight.tensor(), no_bias, arithmetic.numerics);
  return adapted_product_f32(hidden, {weight, no_bias}, *adapters,
                             {.numerics = arithmetic.numerics, .dropout_key = arithmetic.dropout_key});
}

std::optional<ops::VocabularyHead> Decoder::vocabulary_head(const Arithmetic& arithmetic) const {
  if (arithmetic.numerics == Numerics::exact) return std::nullopt;
  const BaseModule base{weights_.lm_head_weight(), weights_.outside().bias(Role::lm_head)};
  ops::VocabularyHead head = ops::vocabulary_head(base.weight, base.bias);
  if (const auto* const own = arithmetic.adapters ? arithmetic.adapters->find(-1, Role::lm_head) : nullptr) {
    const auto part = linear_part(base, own, {.keep_blocks = true});
    if (!part || !part->terms.empty()) return std::nullopt;
    head.bias = part->bias;
    if (part->matrix.defined()) head = {.matrix = part->matrix, .bias = part->bias};
  }
  head.logit_scale = config_.logit_scale;
  head.softcap = config_.final_softcap;
  return head;
}

}  // namespace powerhouse
