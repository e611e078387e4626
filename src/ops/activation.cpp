#include "ops/activation.h"

#include <ATen/ops/silu_ops.h>

#include "kernels/cpu/kernels.h"
#include "ops/tensors.h"
#include "support/thread_team.h"

namespace powerhouse::ops {
namespace {

at::Tensor activate(Activation activation, const at::Tensor& x) {
  switch (activation) {
    case Activation::silu: return at::_ops::silu::call(x);
  }
  return x;
}

cpu::ActivationKind kernel_kind(Activation activation) {
  switch (activation) {
    case Activation::silu: break;
  }
  return cpu::ActivationKind::silu;
}

}  // namespace

at::Tensor gated_activation(Activation activation, const at::Tensor& gate, const at::Tensor& up) {
  if (needs_autograd(gate, up) || !is_kernel_tensor(gate) || gate.stride(1) != 1 || up.stride(1) != 1) {
    return activate(activation, gate).mul(up);
  }
  at::Tensor y = empty_tensor(gate.sizes(), gate.scalar_type());
  const std::int64_t columns = gate.size(1);
  const cpu::ActivationParams params{.type = to_element(gate.scalar_type()),
                                     .kind = kernel_kind(activation),
                                     .gate = gate.const_data_ptr(),
                                     .up = up.const_data_ptr(),
                                     .y = y.mutable_data_ptr(),
                                     .columns = columns,
                                     .gate_stride = gate.stride(0),
                                     .up_stride = up.stride(0),
                                     .y_stride = y.stride(0)};
  const auto kernel = cpu::kernels().activation_mul;
  parallel_for(gate.size(0) * columns, 8192, [&](std::int64_t begin, std::int64_t end) { kernel(params, begin, end); });
  return y;
}

}  // namespace powerhouse::ops
