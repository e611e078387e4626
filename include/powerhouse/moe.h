// Mixtures of experts: the auxiliary loss that keeps experts evenly loaded, and a report of who is.
//
//     std::vector<at::Tensor> router_logits(layers);
//     model.add_hook({HookPoint::router_logits}, [&](const at::Tensor& x, const HookContext& context) -> at::Tensor {
//       router_logits[context.layer] = x;
//       return {};
//     });
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "powerhouse/export.h"
#include "powerhouse/tensor.h"

namespace powerhouse {

/// Over what an expert's load is averaged.
enum class AuxLossScope {
  concatenated,  ///< over the tokens of all layers together, as transformers does
  per_layer,     ///< in each layer apart, then the mean of the layers (Fedus et al. 2021, equation 4)
};

/// num_experts * sum over experts of (share of tokens routed to it) * (mean probability of it), from the router logits
/// [tokens, num_experts] of each layer. The shares of the num_experts_per_tok choices are added, so that even load
/// gives num_experts_per_tok. `token_mask` [tokens], where defined, is 0 for tokens that do not count. Returns a
/// scalar, differentiable through the probabilities. Error{usage} for no layers or for shapes that differ.
POWERHOUSE_API at::Tensor load_balancing_loss(std::span<const at::Tensor> router_logits,
                                              std::int64_t num_experts_per_tok, const at::Tensor& token_mask,
                                              AuxLossScope scope = AuxLossScope::concatenated);
POWERHOUSE_API at::Tensor load_balancing_loss(std::span<const at::Tensor> router_logits,
                                              std::int64_t num_experts_per_tok,
                                              AuxLossScope scope = AuxLossScope::concatenated);

/// How the tokens of one layer were spread.
struct ExpertLoad {
  std::vector<std::int64_t> tokens{};      ///< routed to each expert
  std::vector<double> mean_probability{};  ///< that the router gave each expert
  double max_over_mean = 0;                ///< 1: even; num_experts / num_experts_per_tok: all to the same
  std::int64_t unused = 0;                 ///< experts with no token
};

/// Of each layer's router logits [tokens, num_experts].
POWERHOUSE_API std::vector<ExpertLoad> expert_load(std::span<const at::Tensor> router_logits,
                                                   std::int64_t num_experts_per_tok);

/// A line a layer.
POWERHOUSE_API std::string to_string(std::span<const ExpertLoad> loads);

}  // namespace powerhouse
