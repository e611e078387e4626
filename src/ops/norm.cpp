#include "ops/norm.h"

#include "kernels/cpu/kernels.h"
#include "ops/tensors.h"
#include "support/thread_team.h"

namespace powerhouse::ops {

at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& weight, float epsilon) {
  if (needs_autograd(x, weight) || !is_kernel_tensor(x) || x.scalar_type() != weight.scalar_type() ||
      x.stride(1) != 1) {
    const at::Tensor wide = x.scalar_type() == at::kDouble ? x : x.to(at::kFloat);
    const at::Tensor variance = wide.square().mean({-1}, /*keepdim=*/true);
    return wide.mul(variance.add(epsilon).rsqrt()).to(x.scalar_type()).mul(weight);
  }
  at::Tensor y = empty_tensor(x.sizes(), x.scalar_type());
  const cpu::RmsNormParams params{.type = to_element(x.scalar_type()),
                                  .x = const_cast<void*>(x.const_data_ptr()),  // read only: there is no residual
                                  .weight = weight.const_data_ptr(),
                                  .y = y.mutable_data_ptr(),
                                  .size = x.size(1),
                                  .x_stride = x.stride(0),
                                  .y_stride = y.stride(0),
                                  .epsilon = epsilon};
  const auto kernel = cpu::kernels().rms_norm;
  parallel_for(x.size(0), std::max<std::int64_t>(1, 16384 / std::max<std::int64_t>(1, x.size(1))),
               [&](std::int64_t begin, std::int64_t end) { kernel(params, begin, end); });
  return y;
}

}  // namespace powerhouse::ops
