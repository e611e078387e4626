// Mixture of experts: a router's choice, and the chosen experts' gated MLPs.
#pragma once

#include <ATen/core/Tensor.h>

#include <cmath>
#include <functional>

#include "powerhouse/device.h"
#include "powerhouse/model_config.h"

namespace powerhouse::ops {

/// The experts that each token goes to, and with which weight: both [tokens, num_experts_per_tok].
struct Routing {
  at::Tensor weights;  ///< float32, differentiable
  at::Tensor experts;  ///< int64
};

/// From router logits [tokens, num_experts]: softmax over all experts in float32, the best of them, made to sum to 1
/// where norm_topk_prob.
Routing route(const Moe& choice, const at::Tensor& router_logits, Numerics numerics = Numerics::fast);

/// The same of one token by our own kernel: the first among equals is the better one. `probabilities` is room for one
/// float an expert, `experts` and `weights` take num_experts_per_tok.
void choose_experts(const Moe& choice, const float* logits, float* probabilities, std::int64_t* experts,
                    float* weights);

/// 1 / (1 + exp(-x)) as a plan computes it: how much of the MLP that sees every token counts.
inline float shared_share(float x) { return 1.0f / (1.0f + std::exp(-x)); }
/// The same of all of x, in exact numerics. Differentiable.
at::Tensor exact_shared_share(const at::Tensor& x);

/// The experts' parameters. Biases may be undefined.
struct Experts {
  at::Tensor gate_up;       ///< [experts, 2 * intermediate, hidden], gate first or alternating (interleaved_gate_up)
  at::Tensor gate_up_bias;  ///< [experts, 2 * intermediate]
  at::Tensor down;          ///< [experts, hidden, intermediate]
  at::Tensor down_bias;     ///< [experts, hidden]
  /// Instead of the four: products of rows by one expert's matrix. `gate_up_by` gives gate first.
  std::function<at::Tensor(std::int64_t expert, const at::Tensor&rows)> gate_up_by{}, down_by{};
};

/// Sum over a token's experts of weight * down(activation(gate(x)) * up(x)), x [tokens, hidden], with what `choice.moe`
/// says of clamp and offset, added to `start`, where there is one, in the order of experts. Differentiable.
at::Tensor mixture_of_experts(const at::Tensor& x, const Routing& routing, const Mlp& choice, const Experts& experts,
                              const at::Tensor& start = {}, Numerics numerics = Numerics::fast);

}  // namespace powerhouse::ops
