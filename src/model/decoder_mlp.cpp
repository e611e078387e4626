#include <array>

#include "model/decoder_pass.h"
#include "model/exact_product.h"
#include "model/plan.h"
#include "ops/activation.h"
#include "ops/exact.h"
#include "ops/linear.h"
#include "ops/tensors.h"

namespace powerhouse {

at::Tensor Decoder::mlp(Pass& pass, std::int64_t layer, const at::Tensor& x, Values values) const {
  const Mlp& choice = config_.layers[static_cast<std::size_t>(layer)].mlp;
  if (choice.moe) return mixture(pass, layer, x);
  const Numerics numerics = pass.arithmetic.numerics;
  at::Tensor inner;
  if (choice.fused_gate_up) {
    const at::Tensor both = linear(pass, layer, Role::gate_up_proj, x);
    const std::int64_t size = choice.intermediate_size;
    inner = ops::gated_activation(choice.activation, both.narrow(1, 0, size), both.narrow(1, size, size), numerics);
  } else if (choice.gated) {
    constexpr std::array kRoles = {Role::gate_proj, Role::up_proj};
    const std::vector<at::Tensor> both = linears(pass, layer, kRoles, x);
    inner = ops::gated_activation(choice.activation, both[0], both[1], numerics);
  } else {
    inner = ops::activate(choice.activation, linear(pass, layer, Role::up_proj, x), numerics);
  }
  return linear(pass, layer, Role::down_proj, pass.hook(HookPoint::mlp_activation, layer, inner), values);
}

namespace {

// Rows of gate and up that alternate, as gate, then up.
at::Tensor gate_before_up(const at::Tensor& y, bool interleaved) {
  return interleaved ? y.unflatten(1, {y.size(1) / 2, 2}).transpose(1, 2).flatten(1, 2) : y;
}

at::Tensor expert_product(const LayerWeights& weights, Role role, std::int64_t expert, const at::Tensor& x) {
  const at::Tensor& bias = weights.bias(role);
  return ops::linear(x, weights.matrix(role).select(0, expert), bias.defined() ? bias.select(0, expert) : bias);
}

}  // namespace

ops::Experts Decoder::observed_experts(const Pass& pass, std::int64_t layer) const {
  const LayerWeights& weights = weights_.layer(layer);
  const auto by = [&weights, &see = *pass.observer, layer](Role role, bool interleaved) {
    return [&weights, &see, layer, role, interleaved](std::int64_t expert, const at::Tensor& x) {
      see(layer, role, expert, x);
      return gate_before_up(expert_product(weights, role, expert, x), interleaved);
    };
  };
  const Moe& choice = *config_.layers[static_cast<std::size_t>(layer)].mlp.moe;
  return {.gate_up_by = by(Role::experts_gate_up, choice.interleaved_gate_up),
          .down_by = by(Role::experts_down, false)};
}

ops::Experts Decoder::experts_of(const Pass& pass, std::int64_t layer) const {
  if (pass.observer != nullptr) return observed_experts(pass, layer);
  const LayerWeights& weights = weights_.layer(layer);
  const ModuleAdapters* gate_up = pass.adapters(layer, Role::experts_gate_up);
  const ModuleAdapters* down = pass.adapters(layer, Role::experts_down);
  const bool kept = pass.training != nullptr && (is_quantized(weights.weight(Role::experts_gate_up)) ||
                                                 is_quantized(weights.weight(Role::experts_down)));
  if (gate_up != nullptr || down != nullptr || (kept && !pass.arithmetic.planned())) {
    const Moe& moe = *config_.layers[static_cast<std::size_t>(layer)].mlp.moe;
    return adapted_experts(weights, moe, gate_up, down, pass.adapted());
  }
  if (!pass.arithmetic.planned()) {
    return {.gate_up = weights.matrix(Role::experts_gate_up),
            .gate_up_bias = weights.bias(Role::experts_gate_up),
            .down = weights.matrix(Role::experts_down),
            .down_bias = weights.bias(Role::experts_down)};
  }
  const PlanMoe& moe = pass.arithmetic.plan->moe(layer);
  const Moe& choice = *config_.layers[static_cast<std::size_t>(layer)].mlp.moe;
  // A plan's rows are gate, then up.
  const auto by = [&weights](const std::vector<PlanMatrix>& matrices, Role role, bool interleaved) {
    return [&weights, &matrices, role, interleaved](std::int64_t expert, const at::Tensor& x) {
      return ops::differentiable_as(
          multiply_rows(matrices[static_cast<std::size_t>(expert)], x), needs_autograd(x),
          [&] { return gate_before_up(expert_product(weights, role, expert, x), interleaved); });
    };
  };
  return {.gate_up_by = by(moe.ups, Role::experts_gate_up, choice.interleaved_gate_up),
          .down_by = by(moe.downs, Role::experts_down, false)};
}

at::Tensor Decoder::mixture(Pass& pass, std::int64_t layer, const at::Tensor& x) const {
  const Mlp& choice = config_.layers[static_cast<std::size_t>(layer)].mlp;
  const Numerics numerics = pass.arithmetic.numerics;
  const at::Tensor router_logits = pass.hook(HookPoint::router_logits, layer, linear(pass, layer, Role::router, x));
  const ops::Routing routing = ops::route(*choice.moe, router_logits, numerics);
  const ops::Experts experts = experts_of(pass, layer);
  if (choice.moe->shared_intermediate_size == 0) {
    return ops::mixture_of_experts(x, routing, choice, experts, {}, numerics);
  }
  const at::Tensor shared =
      linear(pass, layer, Role::shared_down_proj,
             ops::gated_activation(choice.activation, linear(pass, layer, Role::shared_gate_proj, x),
                                   linear(pass, layer, Role::shared_up_proj, x), numerics));
  const at::Tensor gate = linear(pass, layer, Role::shared_expert_gate, x);
  // A plan begins with what every token sees.
  if (numerics == Numerics::exact) {
    const at::Tensor start = ops::exact_shared_share(gate).mul(shared);
    return ops::mixture_of_experts(x, routing, choice, experts, start, numerics);
  }
  return ops::mixture_of_experts(x, routing, choice, experts).add(gate.sigmoid().mul(shared));
}

}  // namespace powerhouse
