#include "ops/norm.h"

#include <ATen/ops/layer_norm_ops.h>

#include "kernels/cpu/kernels.h"
#include "ops/exact.h"
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
  if (choice.round_once && weight.defined()) return unit.mul(widened(weight)).to(x.scalar_type());
  const at::Tensor rounded = unit.to(x.scalar_type());
  return weight.defined() ? rounded.mul(weight) : rounded;
}

at::Tensor layer_norm_by_library(const at::Tensor& x, const Norm& choice, const at::Tensor& weight,
                                 const at::Tensor& bias) {
  const c10::SymInt sizes[] = {x.size(-1)};
  if (!weight.defined() || weight.dim() == 1) {
    return at::_ops::layer_norm::call(x, sizes, if_defined(weight), if_defined(bias), choice.epsilon, false);
  }
  // A weight for every head: rounded once, behind it.
  at::Tensor y = at::_ops::layer_norm::call(widened(x), sizes, {}, {}, choice.epsilon, false).mul(weight);
  if (bias.defined()) y = y.add(bias);
  return y.to(x.scalar_type());
}

bool kernel_takes(const at::Tensor& x, const at::Tensor& parameter) {
  return !parameter.defined() || (parameter.is_contiguous() && parameter.scalar_type() == x.scalar_type());
}

bool kernel_takes(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
  return !needs_autograd(x, weight, bias) && is_kernel_tensor(x) && (x.dim() == 2 || x.dim() == 3) &&
         x.stride(-1) == 1 && kernel_takes(x, weight) && kernel_takes(x, bias);
}

const void* data_or_null(const at::Tensor& tensor) { return tensor.defined() ? tensor.const_data_ptr() : nullptr; }

// What both kernels are told of x and y [rows, size] or [rows, heads, size].
template <typename Params>
Params describe(const at::Tensor& x, const Norm& choice, const at::Tensor& weight, at::Tensor& y) {
  Params params{.type = to_element(x.scalar_type())};
  const bool by_head = x.dim() == 3;
  params.weight = data_or_null(weight);
  params.y = y.mutable_data_ptr();
  params.size = x.size(-1);
  params.x_stride = x.stride(0);
  params.y_stride = y.stride(0);
  params.heads = by_head ? x.size(1) : 1;
  params.x_head_stride = by_head ? x.stride(1) : 0;
  params.y_head_stride = by_head ? y.stride(1) : 0;
  params.weight_head_stride = weight.defined() && weight.dim() == 2 ? weight.size(1) : 0;
  params.epsilon = choice.epsilon;
  return params;
}

template <typename Params>
void run(void (*kernel)(const Params&, std::int64_t, std::int64_t), const Params& params, std::int64_t rows) {
  parallel_for(rows * params.heads, std::max<std::int64_t>(1, 16384 / std::max<std::int64_t>(1, params.size)),
               [&](std::int64_t begin, std::int64_t end) { kernel(params, begin, end); });
}

at::Tensor by_kernel(const at::Tensor& x, const Norm& choice, const at::Tensor& weight, const at::Tensor& bias) {
  at::Tensor y = empty_tensor(x.sizes(), x.scalar_type());
  if (choice.kind == NormKind::layer_norm) {
    auto params = describe<cpu::LayerNormParams>(x, choice, weight, y);
    params.x = x.const_data_ptr();
    params.bias = data_or_null(bias);
    run(cpu::kernels().layer_norm, params, x.size(0));
  } else {
    auto params = describe<cpu::RmsNormParams>(x, choice, weight, y);
    params.x = const_cast<void*>(x.const_data_ptr());  // read only: there is no residual
    params.unit_offset = choice.unit_offset;
    params.round_once = choice.round_once;
    run(cpu::kernels().rms_norm, params, x.size(0));
  }
  return y;
}

}  // namespace

at::Tensor norm(const at::Tensor& x, const Norm& choice, const at::Tensor& stored, const at::Tensor& bias,
                Numerics numerics) {
  // RMSNorm adds 1 in float32 itself; LayerNorm's 1 + weight is a vector of the weight's type (Nemotron).
  const bool add_one = choice.kind == NormKind::layer_norm && choice.unit_offset && stored.defined();
  const at::Tensor weight = add_one ? stored.add(1.0) : stored;
  const auto by_library = [&] {
    return choice.kind == NormKind::layer_norm ? layer_norm_by_library(x, choice, weight, bias)
                                               : rms_by_library(x, choice, weight);
  };
  if (numerics == Numerics::exact) {
    check_exact({x, weight, bias});
    return differentiable_as(by_kernel(x.stride(-1) == 1 ? x : x.contiguous(), choice, weight, bias),
                             needs_autograd(x, weight, bias), by_library);
  }
  return kernel_takes(x, weight, bias) ? by_kernel(x, choice, weight, bias) : by_library();
}

}  // namespace powerhouse::ops
