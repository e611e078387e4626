// at::Tensor by name only: programs that never touch a tensor pay nothing for LibTorch at compile time. One that does
// includes as much of LibTorch as it uses: <ATen/core/Tensor.h> for the methods (1.3 s), <ATen/ATen.h> for functions
// and operators, or <torch/torch.h>.
#pragma once

namespace at {
class Tensor;
}  // namespace at
