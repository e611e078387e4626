#include "ops/moe.h"

#include <utility>
#include <vector>

#include "kernels/cpu/kernels.h"
#include "ops/activation.h"
#include "ops/exact.h"
#include "ops/linear.h"
#include "ops/tensors.h"

namespace powerhouse::ops {
namespace {

// activation(gate) * up of one matrix product, [rows, 2 * intermediate].
at::Tensor gated(const Mlp& choice, const at::Tensor& both, bool interleaved, Numerics numerics) {
  const Moe& moe = *choice.moe;
  const std::int64_t inner = moe.intermediate_size;
  at::Tensor gate, up;
  if (interleaved) {
    const at::Tensor pairs = both.unflatten(1, {inner, 2});
    gate = pairs.select(2, 0);
    up = pairs.select(2, 1);
  } else {
    gate = both.narrow(1, 0, inner);
    up = both.narrow(1, inner, inner);
  }
  if (moe.clamp) {
    gate = gate.clamp_max(*moe.clamp);
    up = up.clamp(-*moe.clamp, *moe.clamp);
  }
  if (moe.up_offset != 0.0f) up = up.add(moe.up_offset);
  return gated_activation(choice.activation, gate, up, numerics);
}

at::Tensor of_expert(const at::Tensor& biases, std::int64_t expert) {
  return biases.defined() ? biases.select(0, expert) : biases;
}

Routing route_exactly(const Moe& choice, const at::Tensor& router_logits) {
  check_exact({router_logits});
  const at::Tensor logits = router_logits.contiguous();
  const std::int64_t rows = logits.size(0);
  const std::int64_t chosen = choice.num_experts_per_tok;
  const at::Tensor weights = empty_tensor({rows, chosen}, at::kFloat);
  at::Tensor experts = empty_tensor({rows, chosen}, at::kLong);
  std::vector<float> probabilities(static_cast<std::size_t>(choice.num_experts));
  for (std::int64_t row = 0; row < rows; ++row) {
    choose_experts(choice, logits.const_data_ptr<float>() + row * choice.num_experts, probabilities.data(),
                   experts.mutable_data_ptr<std::int64_t>() + row * chosen,
                   weights.mutable_data_ptr<float>() + row * chosen);
  }
  const auto by_library = [&] {
    const at::Tensor of_chosen = router_logits.softmax(-1).gather(-1, experts);
    return choice.norm_topk_prob ? of_chosen.div(of_chosen.sum({-1}, /*keepdim=*/true)) : of_chosen;
  };
  return {differentiable_as(weights, needs_autograd(router_logits), by_library), experts};
}

}  // namespace

void choose_experts(const Moe& choice, const float* logits, float* probabilities, std::int64_t* experts,
                    float* weights) {
  cpu::kernels().softmax_f32(logits, probabilities, choice.num_experts);
  float sum = 0.0f;
  for (std::int64_t i = 0; i < choice.num_experts_per_tok; ++i) {
    std::int64_t best = -1;
    for (std::int64_t expert = 0; expert < choice.num_experts; ++expert) {
      if (probabilities[expert] < 0.0f) continue;  // chosen already
      if (best < 0 || probabilities[expert] > probabilities[best]) best = expert;
    }
    experts[i] = best;
    weights[i] = std::exchange(probabilities[best], -1.0f);
    sum += weights[i];
  }
  for (std::int64_t i = 0; choice.norm_topk_prob && i < choice.num_experts_per_tok; ++i) weights[i] /= sum;
}

at::Tensor exact_shared_share(const at::Tensor& x) {
  check_exact({x});
  const at::Tensor from = x.contiguous();
  at::Tensor value = empty_tensor(x.sizes(), at::kFloat);
  for (std::int64_t i = 0; i < x.numel(); ++i) {
    value.mutable_data_ptr<float>()[i] = shared_share(from.const_data_ptr<float>()[i]);
  }
  return differentiable_as(value, needs_autograd(x), [&] { return x.sigmoid(); });
}

Routing route(const Moe& choice, const at::Tensor& router_logits, Numerics numerics) {
  if (numerics == Numerics::exact) return route_exactly(choice, router_logits);
  const auto wide = router_logits.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
  const at::Tensor probabilities = router_logits.to(wide).softmax(-1);
  auto [weights, experts] = probabilities.topk(choice.num_experts_per_tok, -1);
  if (choice.norm_topk_prob) weights = weights.div(weights.sum({-1}, /*keepdim=*/true));
  return {weights, experts};
}

at::Tensor mixture_of_experts(const at::Tensor& x, const Routing& routing, const Mlp& choice, const Experts& all,
                              const at::Tensor& start, Numerics numerics) {
  const std::int64_t experts = choice.moe->num_experts;
  const auto up = [&](std::int64_t expert, const at::Tensor& rows) {
    if (all.gate_up_by) return gated(choice, all.gate_up_by(expert, rows), /*interleaved=*/false, numerics);
    const at::Tensor both = linear(rows, all.gate_up.select(0, expert), of_expert(all.gate_up_bias, expert), numerics);
    return gated(choice, both, choice.moe->interleaved_gate_up, numerics);
  };
  const auto down = [&](std::int64_t expert, const at::Tensor& rows) {
    if (all.down_by) return all.down_by(expert, rows);
    return linear(rows, all.down.select(0, expert), of_expert(all.down_bias, expert), numerics);
  };
  const std::int64_t chosen = routing.experts.size(1);
  const at::Tensor ids = routing.experts.to(at::kCPU).contiguous();
  // The tokens of each expert, and the places of their weights in the flat table.
  std::vector<std::vector<std::int64_t>> tokens(static_cast<std::size_t>(experts)), places(tokens.size());
  const auto* id = ids.const_data_ptr<std::int64_t>();
  for (std::int64_t place = 0; place < ids.numel(); ++place) {
    const auto expert = static_cast<std::size_t>(id[place]);
    tokens[expert].push_back(place / chosen);
    places[expert].push_back(place);
  }
  const at::Tensor weights = routing.weights.reshape({-1});
  at::Tensor sum = start.defined() ? start : x.new_zeros(x.sizes());
  for (std::int64_t expert = 0; expert < experts; ++expert) {
    const auto at = static_cast<std::size_t>(expert);
    if (tokens[at].empty()) continue;
    const at::Tensor rows = index_tensor(tokens[at]).to(x.device());
    const at::Tensor y = down(expert, up(expert, x.index_select(0, rows)));
    const at::Tensor share = weights.index_select(0, index_tensor(places[at]).to(x.device())).unsqueeze(1);
    sum = sum.index_add(0, rows, y.mul(share).to(x.scalar_type()));
  }
  return sum;
}

}  // namespace powerhouse::ops
