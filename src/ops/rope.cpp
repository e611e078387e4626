#include "ops/rope.h"

#include <ATen/ops/stack_ops.h>

#include <cmath>
#include <numbers>

#include "kernels/cpu/kernels.h"
#include "ops/tensors.h"
#include "support/thread_team.h"

namespace powerhouse::ops {
namespace {

// Llama 3.1's stretch: long wavelengths are divided by the factor, short ones kept, those between blended.
float llama3_frequency(float frequency, const Rope& rope) {
  const auto original = static_cast<double>(rope.original_max_position_embeddings);
  const double wavelength = 2.0 * std::numbers::pi / static_cast<double>(frequency);
  if (wavelength < original / rope.high_freq_factor) return frequency;
  if (wavelength > original / rope.low_freq_factor) return static_cast<float>(frequency / rope.factor);
  const double smooth = (original / wavelength - rope.low_freq_factor) / (rope.high_freq_factor - rope.low_freq_factor);
  return static_cast<float>((1.0 - smooth) * frequency / rope.factor + smooth * frequency);
}

at::Tensor rotate_by_library(const at::Tensor& x, const RopeTable& table, RopeLayout layout) {
  const std::int64_t rotary_dim = table.cos.size(1) * 2;
  const auto type = x.scalar_type();
  const auto wide_type = type == at::kDouble ? at::kDouble : at::kFloat;
  const at::Tensor turned = x.narrow(2, 0, rotary_dim).to(wide_type);
  const at::Tensor cos = table.cos.to(wide_type).unsqueeze(1);  // [tokens, 1, rotary_dim / 2]
  const at::Tensor sin = table.sin.to(wide_type).unsqueeze(1);
  at::Tensor out;
  if (layout == RopeLayout::half) {
    const at::Tensor first = turned.narrow(2, 0, rotary_dim / 2);
    const at::Tensor second = turned.narrow(2, rotary_dim / 2, rotary_dim / 2);
    out = concatenate({first.mul(cos).sub(second.mul(sin)), second.mul(cos).add(first.mul(sin))}, 2);
  } else {
    const at::Tensor pairs = turned.unflatten(2, {rotary_dim / 2, 2});
    const at::Tensor even = pairs.select(3, 0);
    const at::Tensor odd = pairs.select(3, 1);
    const at::Tensor turned_pairs[] = {even.mul(cos).sub(odd.mul(sin)), odd.mul(cos).add(even.mul(sin))};
    out = at::_ops::stack::call(turned_pairs, 3).flatten(2, 3);
  }
  out = out.to(type);
  if (rotary_dim == x.size(2)) return out;
  return concatenate({out, x.narrow(2, rotary_dim, x.size(2) - rotary_dim)}, 2);
}

}  // namespace

std::vector<float> rope_frequencies(const Rope& rope) {
  const auto pairs = static_cast<std::size_t>(rope.rotary_dim / 2);
  std::vector<float> frequencies(pairs);
  for (std::size_t i = 0; i < pairs; ++i) {
    const float exponent = static_cast<float>(2 * i) / static_cast<float>(rope.rotary_dim);
    float frequency = 1.0f / std::pow(static_cast<float>(rope.theta), exponent);
    if (rope.scaling == RopeScaling::linear) frequency /= static_cast<float>(rope.factor);
    if (rope.scaling == RopeScaling::llama3) frequency = llama3_frequency(frequency, rope);
    if (!rope.frequency_factors.empty()) frequency /= rope.frequency_factors[i];
    frequencies[i] = frequency;
  }
  return frequencies;
}

RopeTable rope_table(std::span<const float> frequencies, std::span<const std::int64_t> position_ids) {
  const auto tokens = static_cast<std::int64_t>(position_ids.size());
  const auto pairs = static_cast<std::int64_t>(frequencies.size());
  RopeTable table{empty_tensor({tokens, pairs}, at::kFloat), empty_tensor({tokens, pairs}, at::kFloat)};
  auto* cos = table.cos.data_ptr<float>();
  auto* sin = table.sin.data_ptr<float>();
  parallel_for(tokens, 64, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t token = begin; token < end; ++token) {
      const auto position = static_cast<float>(position_ids[static_cast<std::size_t>(token)]);
      for (std::int64_t i = 0; i < pairs; ++i) {
        const float angle = position * frequencies[static_cast<std::size_t>(i)];
        cos[token * pairs + i] = std::cos(angle);
        sin[token * pairs + i] = std::sin(angle);
      }
    }
  });
  return table;
}

at::Tensor apply_rope(const at::Tensor& x, const RopeTable& table, RopeLayout layout) {
  if (needs_autograd(x) || !is_kernel_tensor(x) || x.stride(2) != 1) return rotate_by_library(x, table, layout);
  at::Tensor turned = x;
  const cpu::RopeParams params{.type = to_element(x.scalar_type()),
                               .data = turned.mutable_data_ptr(),
                               .cos = table.cos.const_data_ptr<float>(),
                               .sin = table.sin.const_data_ptr<float>(),
                               .heads = x.size(1),
                               .rotary_dim = table.cos.size(1) * 2,
                               .token_stride = x.stride(0),
                               .head_stride = x.stride(1),
                               .table_stride = table.cos.stride(0),
                               .interleaved = layout == RopeLayout::interleaved};
  const auto kernel = cpu::kernels().rope;
  parallel_for(x.size(0) * x.size(1), 256, [&](std::int64_t begin, std::int64_t end) { kernel(params, begin, end); });
  return turned;
}

}  // namespace powerhouse::ops
