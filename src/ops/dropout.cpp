#include "ops/dropout.h"

#include <cmath>

#include "kernels/cpu/kernels.h"
#include "ops/device_kernels.h"
#include "ops/tensors.h"
#include "powerhouse/error.h"
#include "support/philox.h"
#include "support/thread_team.h"

namespace powerhouse::ops {
namespace {

at::Tensor by_kernel(const at::Tensor& x, const Dropout& dropout) {
  const auto threshold = static_cast<std::uint32_t>(std::lround(dropout.rate * 65536.0f));
  const std::uint32_t cut = std::min(threshold, 65535u);
  at::Tensor y = empty_tensor_like(x);
  const cpu::DropoutParams params{
      .type = to_element(x.scalar_type()),
      .x = x.const_data_ptr(),
      .y = y.mutable_data_ptr(),
      .columns = x.size(1),
      .x_stride = x.stride(0),
      .y_stride = x.size(1),
      .threshold = cut,
      .kept = 65536.0f / static_cast<float>(65536 - cut),
      .key = {static_cast<std::uint32_t>(dropout.seed), static_cast<std::uint32_t>(dropout.seed >> 32)},
      .counter = dropout.counter,
      .lane = dropout.lane,
      .stream = static_cast<std::uint32_t>(RandomStream::dropout)};
  if (!x.is_cpu()) {
    DeviceKernels(x.device()).must_launch("dropout", &cuda::KernelTable::dropout, params, x.size(0));
    return y;
  }
  const auto kernel = cpu::kernels().dropout;
  parallel_for(x.size(0), std::max<std::int64_t>(1, 4096 / x.size(1)),
               [&](std::int64_t begin, std::int64_t end) { kernel(params, begin, end); });
  return y;
}

}  // namespace

void check_dropout(const Dropout& dropout) {
  if (dropout.rate >= 0.0f && dropout.rate < 1.0f) return;
  throw Error(ErrorKind::range, "a dropout rate must be at least 0 and below 1",
              {.field = "dropout", .expected = "[0, 1)", .found = std::to_string(dropout.rate)});
}

at::Tensor dropped(const at::Tensor& x, const Dropout& dropout) {
  check_dropout(dropout);
  if (dropout.rate == 0.0f || x.numel() == 0) return x;
  if (has_kernels(x)) return by_kernel(x.stride(1) == 1 ? x : x.contiguous(), dropout);
  at::Tensor ones = empty_tensor(x.sizes(), at::kFloat);
  return x.mul(by_kernel(ones.fill_(1), dropout).to(x.device(), x.scalar_type()));
}

}  // namespace powerhouse::ops
