#include "ops/activation.h"

#include <ATen/ops/gelu_ops.h>
#include <ATen/ops/silu_ops.h>

#include "kernels/cpu/kernels.h"
#include "ops/device_kernels.h"
#include "ops/exact.h"
#include "ops/remake.h"
#include "ops/tensors.h"
#include "support/thread_team.h"

namespace powerhouse::ops {
namespace {

at::Tensor by_library(Activation activation, const at::Tensor& x) {
  switch (activation) {
    case Activation::silu: return at::_ops::silu::call(x);
    case Activation::gelu: return at::_ops::gelu::call(x, "none");
    case Activation::gelu_tanh: return at::_ops::gelu::call(x, "tanh");
    case Activation::quick_gelu: return x.mul(x.mul(1.702).sigmoid());
    case Activation::relu: return x.relu();
    case Activation::relu2: return x.relu().square();
  }
  return x;
}

bool is_rows(const at::Tensor& x) { return x.dim() == 2 && x.stride(1) == 1; }

// `up` may be undefined.
at::Tensor by_kernel(cpu::ActivationKind kind, const at::Tensor& gate, const at::Tensor& up) {
  at::Tensor y = empty_tensor_like(gate);
  const std::int64_t columns = gate.size(1);
  const cpu::ActivationParams params{.type = to_element(gate.scalar_type()),
                                     .kind = kind,
                                     .gate = gate.const_data_ptr(),
                                     .up = up.defined() ? up.const_data_ptr() : nullptr,
                                     .y = y.mutable_data_ptr(),
                                     .columns = columns,
                                     .gate_stride = gate.stride(0),
                                     .up_stride = up.defined() ? up.stride(0) : 0,
                                     .y_stride = y.stride(0)};
  if (gate.is_cpu()) {
    const auto kernel = cpu::kernels().activation_mul;
    parallel_for(gate.numel(), 8192, [&](std::int64_t begin, std::int64_t end) { kernel(params, begin, end); });
  } else {
    const DeviceKernels device(gate.device());
    device.must_launch("activation", &cuda::KernelTable::activation_mul, params, gate.size(0));
  }
  return y;
}

at::Tensor in_rows(const at::Tensor& x) { return is_rows(x) ? x : x.contiguous(); }

// Saved: the inputs, gate and up where there is one. The activation is computed again in backward.
class ActivationNode : public RemakingNode {
 public:
  explicit ActivationNode(cpu::ActivationKind kind) : kind_(kind) {}

  std::string name() const override { return "activation"; }

  static at::Tensor of(cpu::ActivationKind kind, at::TensorList inputs) {
    return record(make_node<ActivationNode>(kind), inputs);
  }

 protected:
  at::Tensor value(at::TensorList inputs) const override {
    return by_kernel(kind_, inputs[0], inputs.size() > 1 ? inputs[1] : at::Tensor());
  }

  Tensors gradients(const Tensors& inputs, const at::Tensor& gradient, const std::vector<bool>&) const override {
    const at::Tensor& gate = inputs[0];
    const at::Tensor up = inputs.size() > 1 ? inputs[1] : at::Tensor();
    const at::Tensor dy = in_rows(gradient);
    const at::Tensor dgate = empty_tensor_like(gate);
    const at::Tensor dup = up.defined() ? empty_tensor_like(up) : at::Tensor();
    const cpu::ActivationGradientParams params{.type = to_element(gate.scalar_type()),
                                               .kind = kind_,
                                               .gate = gate.const_data_ptr(),
                                               .up = up.defined() ? up.const_data_ptr() : nullptr,
                                               .dy = dy.const_data_ptr(),
                                               .dgate = dgate.mutable_data_ptr(),
                                               .dup = dup.defined() ? dup.mutable_data_ptr() : nullptr,
                                               .columns = gate.size(1),
                                               .gate_stride = gate.stride(0),
                                               .up_stride = up.defined() ? up.stride(0) : 0,
                                               .dy_stride = dy.stride(0),
                                               .dgate_stride = gate.size(1),
                                               .dup_stride = gate.size(1)};
    if (gate.is_cpu()) {
      const auto kernel = cpu::kernels().activation_gradient;
      parallel_for(gate.numel(), 8192, [&](std::int64_t begin, std::int64_t end) { kernel(params, begin, end); });
    } else {
      const DeviceKernels device(gate.device());
      device.must_launch("activation", &cuda::KernelTable::activation_gradient, params, gate.size(0));
    }
    if (!up.defined()) return {dgate};
    return {dgate, dup};
  }

 private:
  cpu::ActivationKind kind_;
};

// `up` may be undefined.
at::Tensor by_kernels(cpu::ActivationKind kind, const at::Tensor& gate, const at::Tensor& up) {
  if (!needs_autograd(gate, up)) return by_kernel(kind, gate, up);
  if (!up.defined()) return ActivationNode::of(kind, gate);
  const at::Tensor inputs[] = {gate, up};
  return ActivationNode::of(kind, inputs);
}

}  // namespace

std::optional<cpu::ActivationKind> kernel_kind(Activation activation) {
  switch (activation) {
    case Activation::silu: return cpu::ActivationKind::silu;
    case Activation::gelu: return cpu::ActivationKind::gelu;
    case Activation::gelu_tanh: return cpu::ActivationKind::gelu_tanh;
    case Activation::relu: return cpu::ActivationKind::relu;
    case Activation::quick_gelu: return cpu::ActivationKind::quick_gelu;
    case Activation::relu2: return cpu::ActivationKind::relu2;
  }
  return std::nullopt;
}

at::Tensor activate(Activation activation, const at::Tensor& x, Numerics numerics) {
  const auto kind = kernel_kind(activation);
  if (numerics == Numerics::exact) {
    check_exact({x});
    return differentiable_as(by_kernel(*kind, in_rows(x), {}), needs_autograd(x),
                             [&] { return by_library(activation, x); });
  }
  return kind && has_kernels(x) && is_rows(x) ? by_kernels(*kind, x, {}) : by_library(activation, x);
}

at::Tensor gated_activation(Activation activation, const at::Tensor& gate, const at::Tensor& up, Numerics numerics) {
  const auto kind = kernel_kind(activation);
  if (numerics == Numerics::exact) {
    check_exact({gate, up});
    return differentiable_as(by_kernel(*kind, in_rows(gate), in_rows(up)), needs_autograd(gate, up),
                             [&] { return by_library(activation, gate).mul(up); });
  }
  const bool fits = has_kernels(gate) && up.scalar_type() == gate.scalar_type() && up.device() == gate.device() &&
                    is_rows(gate) && is_rows(up);
  return kind && fits ? by_kernels(*kind, gate, up) : by_library(activation, gate).mul(up);
}

at::Tensor exact_softcap(const at::Tensor& x, float scale, float cap) {
  const at::Tensor inner = x.mul(scale).div(cap);
  return differentiable_as(by_kernel(cpu::ActivationKind::tanh, in_rows(inner), {}), needs_autograd(inner),
                           [&] { return inner.tanh(); })
      .mul(cap);
}

}  // namespace powerhouse::ops
