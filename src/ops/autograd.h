// What the differentiable ops share: LibTorch's custom functions, and the things their backward passes need.
#pragma once

#include <torch/csrc/autograd/custom_function.h>

#include "powerhouse/error.h"

namespace powerhouse::ops {

/// At the head of a backward pass that autograd can't see into.
inline void once_differentiable(const char* op) {
  if (!c10::GradMode::is_enabled()) return;
  throw Error(ErrorKind::unsupported, "no second derivative of this operation", {.field = op});
}

}  // namespace powerhouse::ops
