#include "ops/block_product.h"

#include "kernels/cuda/product_plan.h"
#include "ops/dequantize.h"
#include "ops/device_kernels.h"
#include "ops/linear.h"
#include "ops/repacked_weight.h"
#include "ops/tensors.h"

namespace powerhouse::ops {
namespace {

bool kernel_takes(const at::Tensor& x, BlockFormat format) {
  const std::int64_t most = x.scalar_type() == at::kFloat ? cuda::kMostPlainRows : cuda::most_product_rows(format);
  return has_kernels(x) && x.size(0) <= most;
}

at::Tensor by_kernel(const at::Tensor& given, const Weight& weight, const at::Tensor& given_bias) {
  const at::Tensor x = aligned_vectors(given);
  const at::Tensor bias = given_bias.defined() ? given_bias.to(x.scalar_type()).contiguous() : given_bias;
  const std::int64_t outputs = weight.device_blocks().size(0);
  const DeviceKernels device(x.device());
  at::Tensor y = empty_tensor({x.size(0), outputs}, x.scalar_type(), x.device());
  const bool aligned = reinterpret_cast<std::uintptr_t>(weight.device_blocks().const_data_ptr()) % 32 == 0;
  const at::Tensor blocks =
      aligned ? weight.device_blocks() : weight.device_blocks().clone(at::MemoryFormat::Contiguous);
  cuda::QuantizedProductParams params{.format = weight.format(),
                                      .type = to_element(x.scalar_type()),
                                      .weight = blocks.const_data_ptr(),
                                      .x = x.const_data_ptr(),
                                      .bias = bias.defined() ? bias.const_data_ptr() : nullptr,
                                      .y = y.mutable_data_ptr(),
                                      .rows = x.size(0),
                                      .inputs = x.size(1),
                                      .outputs = outputs,
                                      .x_stride = x.stride(0),
                                      .y_stride = outputs,
                                      .multiprocessors = static_cast<int>(device.multiprocessors())};
  const at::Tensor workspace = empty_tensor({cuda::workspace_floats(params)}, at::kFloat, x.device());
  params.workspace = workspace.mutable_data_ptr<float>();
  device.must_launch("linear", &cuda::KernelTable::quantized_product, params);
  return y;
}

}  // namespace

at::Tensor block_product(const at::Tensor& x, const Weight& weight, const at::Tensor& bias) {
  if (weight.repacked() != nullptr) {
    if (at::Tensor y = repacked_product(x, weight, bias); y.defined()) return y;
    return linear(x, dequantized(weight, x.scalar_type()), bias);
  }
  if (kernel_takes(x, weight.format()) && weight.stored()->offset == 0.0f) return by_kernel(x, weight, bias);
  return linear(x, dequantized(weight, x.scalar_type()), bias);
}

at::Tensor block_product_f32(const at::Tensor& x, const Weight& weight, const at::Tensor& bias) {
  if (x.size(0) <= cuda::kMostPlainRows && weight.repacked() == nullptr)
    return block_product(x.to(at::kFloat), weight, bias);
  return block_product(x, weight, bias).to(at::kFloat);
}

}  // namespace powerhouse::ops
