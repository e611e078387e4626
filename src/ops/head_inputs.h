// The inputs of an autograd node over a language-model head: hidden, then the head's matrix and bias where there are
// such; and their gradients in that order.
#pragma once

#include <utility>
#include <vector>

#include "ops/autograd.h"
#include "ops/head_pass.h"

namespace powerhouse::ops {

struct HeadInputs {
  VocabularyHead head{};  // without tensors
  bool has_matrix = false, has_bias = false;

  HeadInputs() = default;
  /// Appends the head's tensors to `inputs`.
  HeadInputs(const VocabularyHead& from, torch::autograd::variable_list& inputs)
      : head{.blocks = from.matrix.defined() ? Weight() : from.blocks,
             .logit_scale = from.logit_scale,
             .softcap = from.softcap},
        has_matrix(from.matrix.defined()),
        has_bias(from.bias.defined()) {
    if (has_matrix) inputs.push_back(from.matrix);
    if (has_bias) inputs.push_back(from.bias);
  }

  VocabularyHead head_of(at::TensorList inputs) const {
    VocabularyHead whole = head;
    if (has_matrix) whole.matrix = inputs[1];
    if (has_bias) whole.bias = inputs[has_matrix ? 2 : 1];
    return whole;
  }

  /// wanted(place): whether that input wants a gradient.
  template <typename Wanted>
  HeadGradients gradients_wanted(Wanted wanted) const {
    HeadGradients gradients{.want_hidden = wanted(0)};
    if (has_matrix) gradients.want_matrix = wanted(1);
    if (has_bias) gradients.want_bias = wanted(has_matrix ? 2 : 1);
    return gradients;
  }

  /// And nothing for `others` inputs behind.
  torch::autograd::variable_list in_order(const HeadGradients& gradients, std::size_t others = 0) const {
    torch::autograd::variable_list out{gradients.hidden};
    if (has_matrix) out.push_back(gradients.matrix);
    if (has_bias) out.push_back(gradients.bias);
    out.resize(out.size() + others);
    return out;
  }
};

/// The backward pass of a scalar whose gradients were made with it: they are multiplied by its own, which is 1 as a
/// rule. Nothing for `others` inputs behind.
inline torch::autograd::variable_list kept_gradients(torch::autograd::variable_list kept, const at::Tensor& d,
                                                     std::size_t others) {
  // On a device nobody waits for the number.
  const auto factor = d.is_cpu() ? d.item<double>() : 0.0;
  for (at::Tensor& gradient : kept) {
    if (gradient.defined() && factor != 1.0) gradient = d.is_cpu() ? gradient.mul(factor) : gradient.mul(d);
  }
  kept.resize(kept.size() + others);
  return kept;
}

}  // namespace powerhouse::ops
