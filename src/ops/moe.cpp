#include "ops/moe.h"

#include <vector>

#include "ops/activation.h"
#include "ops/linear.h"
#include "ops/tensors.h"

namespace powerhouse::ops {
namespace {

// activation(gate) * up of one matrix product, [rows, 2 * intermediate].
at::Tensor gated(const Mlp& choice, const at::Tensor& both) {
  const Moe& moe = *choice.moe;
  const std::int64_t inner = moe.intermediate_size;
  at::Tensor gate, up;
  if (moe.interleaved_gate_up) {
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
  return gated_activation(choice.activation, gate, up);
}

at::Tensor of_expert(const at::Tensor& biases, std::int64_t expert) {
  return biases.defined() ? biases.select(0, expert) : biases;
}

}  // namespace

Routing route(const Moe& choice, const at::Tensor& router_logits) {
  const auto wide = router_logits.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
  const at::Tensor probabilities = router_logits.to(wide).softmax(-1);
  auto [weights, experts] = probabilities.topk(choice.num_experts_per_tok, -1);
  if (choice.norm_topk_prob) weights = weights.div(weights.sum({-1}, /*keepdim=*/true));
  return {weights, experts};
}

at::Tensor mixture_of_experts(const at::Tensor& x, const Routing& routing, const Mlp& choice, const Experts& all) {
  const std::int64_t experts = all.gate_up.size(0);
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
  at::Tensor sum = x.new_zeros(x.sizes());
  for (std::int64_t expert = 0; expert < experts; ++expert) {
    const auto at = static_cast<std::size_t>(expert);
    if (tokens[at].empty()) continue;
    const at::Tensor rows = index_tensor(tokens[at]).to(x.device());
    const at::Tensor both =
        linear(x.index_select(0, rows), all.gate_up.select(0, expert), of_expert(all.gate_up_bias, expert));
    const at::Tensor y = linear(gated(choice, both), all.down.select(0, expert), of_expert(all.down_bias, expert));
    const at::Tensor share = weights.index_select(0, index_tensor(places[at]).to(x.device())).unsqueeze(1);
    sum = sum.index_add(0, rows, y.mul(share).to(x.scalar_type()));
  }
  return sum;
}

}  // namespace powerhouse::ops
