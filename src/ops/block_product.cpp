#include "ops/block_product.h"

#include "ops/dequantize.h"
#include "ops/device_product.h"
#include "ops/linear.h"
#include "ops/repacked_weight.h"

namespace powerhouse::ops {
namespace {

bool kernel_takes(const at::Tensor& x, BlockFormat format) {
  const std::int64_t most = x.scalar_type() == at::kFloat ? cuda::kMostPlainRows : cuda::most_product_rows(format);
  return has_kernels(x) && x.size(0) <= most;
}

at::Tensor by_kernel(const at::Tensor& x, const Weight& weight, const at::Tensor& bias) {
  const at::Tensor& stored = weight.device_blocks();
  const bool aligned = reinterpret_cast<std::uintptr_t>(stored.const_data_ptr()) % 32 == 0;
  const at::Tensor blocks = aligned ? stored : stored.clone(at::MemoryFormat::Contiguous);
  const std::int64_t outputs = stored.size(0);
  return product_on_device(
      &cuda::KernelTable::quantized_product,
      cuda::QuantizedProductParams{
          .format = weight.format(), .weight = blocks.const_data_ptr(), .inputs = x.size(1), .outputs = outputs},
      x, bias, outputs);
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
