// Rows, a head's matrix and its bias, and their logits by plain operations: what tests of losses over a head share.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>
#include <vector>

#include "ops/linear_cross_entropy.h"
#include "random_tensor.h"

namespace powerhouse::testing {

inline constexpr std::int64_t kRows = 11, kHidden = 24, kVocabulary = 53;

/// Hidden rows, the head's matrix, its bias.
inline std::vector<at::Tensor> head_tensors(at::ScalarType type, bool bias = true) {
  return {random_tensor({kRows, kHidden}, type, 1), random_tensor({kVocabulary, kHidden}, type, 2),
          bias ? random_tensor({kVocabulary}, type, 3) : at::Tensor()};
}

inline ops::VocabularyHead head_of(const std::vector<at::Tensor>& t, float scale, std::optional<float> softcap) {
  return {.matrix = t[1], .bias = t[2], .logit_scale = scale, .softcap = softcap};
}

inline at::Tensor whole_logits(const std::vector<at::Tensor>& t, float scale, std::optional<float> softcap) {
  at::Tensor logits = t[0].matmul(t[1].t());
  if (t[2].defined()) logits = logits.add(t[2]);
  logits = logits.mul(scale);
  return softcap ? logits.div(*softcap).tanh().mul(*softcap) : logits;
}

}  // namespace powerhouse::testing
