// Mixture of experts: a router's choice, and the chosen experts' gated MLPs.
#pragma once

#include <ATen/core/Tensor.h>

#include "powerhouse/model_config.h"

namespace powerhouse::ops {

/// The experts that each token goes to, and with which weight: both [tokens, num_experts_per_tok].
struct Routing {
  at::Tensor weights;  ///< float32, differentiable
  at::Tensor experts;  ///< int64
};

/// From router logits [tokens, num_experts]: softmax over all experts in float32, the best of them, made to sum to 1
/// where norm_topk_prob.
Routing route(const Moe& choice, const at::Tensor& router_logits);

/// The experts' parameters. Biases may be undefined.
struct Experts {
  at::Tensor gate_up;       ///< [experts, 2 * intermediate, hidden], gate first or alternating (interleaved_gate_up)
  at::Tensor gate_up_bias;  ///< [experts, 2 * intermediate]
  at::Tensor down;          ///< [experts, hidden, intermediate]
  at::Tensor down_bias;     ///< [experts, hidden]
};

/// Sum over a token's experts of weight * down(activation(gate(x)) * up(x)), x [tokens, hidden], with what `choice.moe`
/// says of clamp and offset. Differentiable.
at::Tensor mixture_of_experts(const at::Tensor& x, const Routing& routing, const Mlp& choice, const Experts& experts);

}  // namespace powerhouse::ops
