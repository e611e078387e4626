#include "ops/linear.h"

#include <ATen/ops/linear_ops.h>

#include "kernels/cpu/kernels.h"
#include "ops/exact.h"
#include "ops/few_rows.h"
#include "ops/tensors.h"
#include "support/thread_team.h"

namespace powerhouse::ops {
namespace {

// Up to this many rows our own kernel reads each weight once for all rows; beyond it a library GEMM is faster.
constexpr std::int64_t kKernelRows = 16;

bool kernel_takes(const at::Tensor& x, const at::Tensor& weight) {
  return x.size(0) <= kKernelRows && is_kernel_tensor(x) && x.scalar_type() == weight.scalar_type() &&
         x.stride(1) == 1 && weight.stride(1) == 1;
}

at::Tensor by_kernel(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, at::ScalarType y_type) {
  const std::int64_t outputs = weight.size(0);
  at::Tensor y = empty_tensor({x.size(0), outputs}, y_type);
  cpu::LinearParams params{.type = to_element(x.scalar_type()),
                           .y_type = to_element(y_type),
                           .x = x.const_data_ptr(),
                           .weight = weight.const_data_ptr(),
                           .bias = bias.defined() ? bias.const_data_ptr() : nullptr,
                           .y = y.mutable_data_ptr(),
                           .rows = x.size(0),
                           .inputs = x.size(1),
                           .x_stride = x.stride(0),
                           .weight_stride = weight.stride(0),
                           .y_stride = y.stride(0)};
  // A fork costs about what 32 kB of weights cost to read.
  const std::int64_t grain =
      std::max<std::int64_t>(cpu::kLinearGrain, 16384 / std::max<std::int64_t>(1, params.inputs));
  const auto linear = cpu::kernels().linear;
  parallel_for(outputs, (grain + cpu::kLinearGrain - 1) / cpu::kLinearGrain * cpu::kLinearGrain,
               [&](std::int64_t begin, std::int64_t end) { linear(params, begin, end); });
  return y;
}

// The same on a device: undefined where there is none.
at::Tensor by_device_kernel(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, bool to_float) {
  const FewRows in{x};
  const FewRowsMap map{weight, bias};
  if (!few_rows_take(in, {&map, 1})) return {};
  if (to_float) return few_rows_f32(in, map, /*early=*/false);
  const std::vector<at::Tensor> y = few_rows_products(in, {&map, 1}, /*early=*/false);
  return y.empty() ? at::Tensor() : y[0];
}

at::Tensor by_library(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
  // LibTorch has no fast float16 GEMM on most CPUs, and accumulates in float16 where it has one: float32 does it.
  if (x.scalar_type() == at::kHalf && x.is_cpu()) {
    const at::Tensor y =
        at::_ops::linear::call(x.to(at::kFloat), weight.to(at::kFloat),
                               bias.defined() ? std::optional<at::Tensor>(bias.to(at::kFloat)) : std::nullopt);
    return y.to(at::kHalf);
  }
  return at::_ops::linear::call(x, weight, bias.defined() ? std::optional<at::Tensor>(bias) : std::nullopt);
}

at::Tensor exactly(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
  check_exact({x, weight, bias});
  const auto in_rows = [](const at::Tensor& t) { return t.stride(1) == 1 ? t : t.contiguous(); };
  return differentiable_as(by_kernel(in_rows(x), in_rows(weight), bias, at::kFloat), needs_autograd(x, weight, bias),
                           [&] { return by_library(x, weight, bias); });
}

}  // namespace

at::Tensor linear(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, Numerics numerics) {
  if (numerics == Numerics::exact) return exactly(x, weight, bias);
  if (!needs_autograd(x, weight, bias)) {
    if (kernel_takes(x, weight)) return by_kernel(x, weight, bias, x.scalar_type());
    if (at::Tensor y = by_device_kernel(x, weight, bias, /*to_float=*/false); y.defined()) return y;
  }
  return by_library(x, weight, bias);
}

at::Tensor linear_f32(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, Numerics numerics) {
  if (numerics == Numerics::exact) return exactly(x, weight, bias);
  if (!needs_autograd(x, weight, bias)) {
    if (kernel_takes(x, weight)) return by_kernel(x, weight, bias, at::kFloat);
    if (at::Tensor y = by_device_kernel(x, weight, bias, /*to_float=*/true); y.defined()) return y;
  }
  const at::Tensor y = by_library(x, weight, bias);
  return y.scalar_type() == at::kDouble ? y : y.to(at::kFloat);
}

}  // namespace powerhouse::ops
