#include "ops/norm.h"

#include <ATen/ops/layer_norm_ops.h>

#include "kernels/cpu/kernels.h"
#include "ops/tensors.h"
#include "support/thread_team.h"

namespace powerhouse::ops {
namespace {

std::optional<at::Tensor> if_defined(const at::Tensor& tensor) {
  return tensor.defined() ? std::optional<at::Tensor>(tensor) : std::nullopt;
}

at::Tensor widened(const at::Tensor& x) { return x.scalar_type() == at::kDouble ? x : x.to(at::kFloat); }

at::Tensor rms_by_library(const at::Tensor& x, const Norm& choice, const at::Tensor& weight) {
  const at::Tensor wide = widened(x);
  const at::Tensor variance = wide.square().mean({-1}, /*keepdim=*/true);
  const at::Tensor unit = wide.mul(variance.add(choice.epsilon).rsqrt());
  if (choice.unit_offset) return unit.mul(widened(weight).add(1.0)).to(x.scalar_type());
  const at::Tensor rounded = unit.to(x.scalar_type());
  return weight.defined() ? rounded.mul(weight) : rounded;
}

bool kernel_takes(const at::Tensor& x, const at::Tensor& weight) {
  return weight.defined() && weight.dim() == 1 && !needs_autograd(x, weight) && is_kernel_tensor(x) &&
         x.scalar_type() == weight.scalar_type() && x.stride(-1) == 1;
}

at::Tensor rms_by_kernel(const at::Tensor& rows, const Norm& choice, const at::Tensor& weight) {
  at::Tensor y = empty_tensor(rows.sizes(), rows.scalar_type());
  const cpu::RmsNormParams params{.type = to_element(rows.scalar_type()),
                                  .x = const_cast<void*>(rows.const_data_ptr()),  // read only: there is no residual
                                  .weight = weight.const_data_ptr(),
                                  .y = y.mutable_data_ptr(),
                                  .size = rows.size(1),
                                  .x_stride = rows.stride(0),
                                  .y_stride = y.stride(0),
                                  .epsilon = choice.epsilon,
                                  .unit_offset = choice.unit_offset};
  const auto kernel = cpu::kernels().rms_norm;
  parallel_for(rows.size(0), std::max<std::int64_t>(1, 16384 / std::max<std::int64_t>(1, rows.size(1))),
               [&](std::int64_t begin, std::int64_t end) { kernel(params, begin, end); });
  return y;
}

at::Tensor layer_norm(const at::Tensor& x, const Norm& choice, const at::Tensor& weight, const at::Tensor& bias) {
  const c10::SymInt sizes[] = {x.size(-1)};
  if (!weight.defined() || weight.dim() == 1) {
    return at::_ops::layer_norm::call(x, sizes, if_defined(weight), if_defined(bias), choice.epsilon, false);
  }
  // A weight for every head: rounded once, behind it.
  at::Tensor y = at::_ops::layer_norm::call(widened(x), sizes, {}, {}, choice.epsilon, false).mul(weight);
  if (bias.defined()) y = y.add(bias);
  return y.to(x.scalar_type());
}

}  // namespace

at::Tensor norm(const at::Tensor& x, const Norm& choice, const at::Tensor& weight, const at::Tensor& bias) {
  if (choice.kind == NormKind::layer_norm) return layer_norm(x, choice, weight, bias);
  if (!kernel_takes(x, weight)) return rms_by_library(x, choice, weight);
  if (x.dim() == 2) return rms_by_kernel(x, choice, weight);
  return rms_by_kernel(x.reshape({-1, x.size(-1)}), choice, weight).view(x.sizes());
}

}  // namespace powerhouse::ops
