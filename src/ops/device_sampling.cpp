#include "ops/device_sampling.h"

#include <algorithm>
#include <cstring>

#include "ops/device_kernels.h"
#include "ops/tensors.h"
#include "support/philox.h"

namespace powerhouse::ops {

bool device_draws(const at::Device& device, std::int64_t vocabulary) {
  constexpr std::int64_t kMost = std::int64_t{1} << 24;
  return !device.is_cpu() && vocabulary < kMost && DeviceKernels(device).has(&cuda::KernelTable::sample);
}

std::vector<std::int64_t> draw_on_device(const at::Tensor& given, std::span<const TokenDraw> draws) {
  const at::Tensor logits = given.contiguous();
  const auto count = static_cast<std::int64_t>(draws.size());
  at::Tensor here = empty_tensor({count * static_cast<std::int64_t>(sizeof(cuda::SamplingRow))}, at::kByte);
  auto* const bytes = static_cast<std::byte*>(here.mutable_data_ptr());
  for (std::size_t i = 0; i < draws.size(); ++i) {
    const TokenDraw& draw = draws[i];
    const cuda::SamplingRow row{
        .temperature = draw.temperature,
        .top_p = draw.top_p,
        .min_p = draw.min_p,
        .top_k = static_cast<std::int32_t>(std::min(draw.top_k, logits.size(1))),
        .key = {static_cast<std::uint32_t>(draw.seed), static_cast<std::uint32_t>(draw.seed >> 32)},
        .stream = static_cast<std::uint32_t>(RandomStream::sampling),
        .counter = draw.counter};
    std::memcpy(bytes + i * sizeof(row), &row, sizeof(row));
  }
  const at::Tensor rows = uploaded(here, logits.device());
  at::Tensor tokens = empty_tensor({count}, at::kLong, logits.device());
  const cuda::SamplingParams params{.logits = logits.const_data_ptr<float>(),
                                    .vocabulary = logits.size(1),
                                    .stride = logits.size(1),
                                    .options = static_cast<const cuda::SamplingRow*>(rows.const_data_ptr()),
                                    .tokens = tokens.mutable_data_ptr<std::int64_t>()};
  DeviceKernels(logits.device()).must_launch("sampling", &cuda::KernelTable::sample, params, count);
  const at::Tensor found = downloaded(tokens);
  const auto* const begin = found.const_data_ptr<std::int64_t>();
  return {begin, begin + count};
}

}  // namespace powerhouse::ops
