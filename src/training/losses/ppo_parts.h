// What the parts of PPO share.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

namespace powerhouse::losses {

/// 0 where there is no action, whatever stands there; all of it where the mask is undefined.
at::Tensor at_actions(const at::Tensor& values, const at::Tensor& is_action);

std::vector<double> to_host(const at::Tensor& values);

}  // namespace powerhouse::losses
