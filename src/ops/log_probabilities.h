// Log-probabilities of whole rows of logits at a temperature. Trainer and sampler both take them from here: of equal
// logits they are equal bits.
#pragma once

#include <ATen/core/Tensor.h>

namespace powerhouse::ops {

/// logits float32 [..., vocabulary], temperature above 0.
inline at::Tensor log_probabilities(const at::Tensor& logits, float temperature) {
  return (temperature == 1 ? logits : logits.div(static_cast<double>(temperature))).log_softmax(-1);
}

}  // namespace powerhouse::ops
