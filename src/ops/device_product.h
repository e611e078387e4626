// A product by one of the kernels for quantized weights: what all of them are given.
#pragma once

#include "kernels/cuda/product_plan.h"
#include "ops/device_kernels.h"
#include "ops/tensors.h"

namespace powerhouse::ops {

/// y = x Wᵀ + b, [rows, outputs] of x's type, by a kernel whose arguments about the weight stand in `params`.
template <typename Params>
at::Tensor product_on_device(bool (*cuda::KernelTable::*kernel)(const Params&, cuda::Stream), Params params,
                             const at::Tensor& given, const at::Tensor& given_bias, std::int64_t outputs) {
  const at::Tensor x = aligned_vectors(given);
  const at::Tensor bias = given_bias.defined() ? given_bias.to(x.scalar_type()).contiguous() : given_bias;
  const DeviceKernels device(x.device());
  at::Tensor y = empty_tensor({x.size(0), outputs}, x.scalar_type(), x.device());
  params.type = to_element(x.scalar_type());
  params.x = x.const_data_ptr();
  params.bias = bias.defined() ? bias.const_data_ptr() : nullptr;
  params.y = y.mutable_data_ptr();
  params.rows = x.size(0);
  params.x_stride = x.stride(0);
  params.y_stride = outputs;
  params.multiprocessors = static_cast<int>(device.multiprocessors());
  if constexpr (requires { params.shared_bytes; }) params.shared_bytes = device.shared_bytes();
  const at::Tensor workspace = empty_tensor({cuda::workspace_floats(params)}, at::kFloat, x.device());
  params.workspace = workspace.mutable_data_ptr<float>();
  device.must_launch("linear", kernel, params);
  return y;
}

}  // namespace powerhouse::ops
