#include "ops/moe.h"

#include <vector>

#include "ops/activation.h"
#include "ops/linear.h"
#include "ops/tensors.h"

namespace powerhouse::ops {

Routing route(const Moe& choice, const at::Tensor& router_logits) {
  const auto wide = router_logits.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
  const at::Tensor probabilities = router_logits.to(wide).softmax(-1);
  auto [weights, experts] = probabilities.topk(choice.num_experts_per_tok, -1);
  if (choice.norm_topk_prob) weights = weights.div(weights.sum({-1}, /*keepdim=*/true));
  return {weights, experts};
}

at::Tensor mixture_of_experts(const at::Tensor& x, const Routing& routing, Activation activation,
                              const at::Tensor& gate_up, const at::Tensor& down) {
  const std::int64_t experts = gate_up.size(0);
  const std::int64_t inner = down.size(2);
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
    const at::Tensor both = linear(x.index_select(0, rows), gate_up.select(0, expert));
    const at::Tensor hidden = gated_activation(activation, both.narrow(1, 0, inner), both.narrow(1, inner, inner));
    const at::Tensor share = weights.index_select(0, index_tensor(places[at]).to(x.device())).unsqueeze(1);
    sum = sum.index_add(0, rows, linear(hidden, down.select(0, expert)).mul(share).to(x.scalar_type()));
  }
  return sum;
}

}  // namespace powerhouse::ops
