#include "ops/rope.h"

#include <ATen/ops/stack_ops.h>

#include <algorithm>
#include <cmath>
#include <numbers>

#include "kernels/cpu/kernels.h"
#include "ops/autograd.h"
#include "ops/device_kernels.h"
#include "ops/exact.h"
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

// The base that grows with the sequence, so that the longest wave always spans it (NTK-aware scaling).
double dynamic_theta(const Rope& rope, std::int64_t length) {
  const auto original = static_cast<double>(rope.original_max_position_embeddings);
  const double stretch = rope.factor * std::max(static_cast<double>(length), original) / original - (rope.factor - 1);
  const auto dim = static_cast<double>(rope.rotary_dim);
  return rope.theta * std::pow(stretch, dim / (dim - 2));
}

// YaRN: which pairs are divided (from `high` on), which kept (up to `low`).
struct Ramp {
  float low = 0, high = 0;
};

Ramp yarn_ramp(const Rope& rope) {
  const auto dim = static_cast<double>(rope.rotary_dim);
  const auto original = static_cast<double>(rope.original_max_position_embeddings);
  const auto pair_that_turns = [&](double rotations) {
    return dim * std::log(original / (rotations * 2 * std::numbers::pi)) / (2 * std::log(rope.theta));
  };
  double low = pair_that_turns(rope.beta_fast);
  double high = pair_that_turns(rope.beta_slow);
  if (rope.truncate) {
    low = std::floor(low);
    high = std::ceil(high);
  }
  low = std::max(low, 0.0);
  high = std::min(high, dim - 1);
  if (low == high) high += 0.001;
  return {static_cast<float>(low), static_cast<float>(high)};
}

float yarn_frequency(float frequency, std::size_t pair, const Rope& rope, Ramp ramp) {
  const float divided = std::clamp((static_cast<float>(pair) - ramp.low) / (ramp.high - ramp.low), 0.0f, 1.0f);
  return frequency / static_cast<float>(rope.factor) * divided + frequency * (1.0f - divided);
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

void run_kernel(cpu::RopeParams params, const at::Tensor& to, const RopeTable& table, RopeLayout layout) {
  params.type = to_element(to.scalar_type());
  params.data = to.mutable_data_ptr();
  params.cos = table.cos.const_data_ptr<float>();
  params.sin = table.sin.const_data_ptr<float>();
  params.heads = to.size(1);
  params.rotary_dim = table.cos.size(1) * 2;
  params.token_stride = to.stride(0);
  params.head_stride = to.stride(1);
  params.table_stride = table.cos.stride(0);
  params.interleaved = layout == RopeLayout::interleaved;
  if (!to.is_cpu()) {
    return DeviceKernels(to.device()).must_launch("rope", &cuda::KernelTable::rope, params, to.size(0));
  }
  const auto kernel = cpu::kernels().rope;
  parallel_for(to.size(0) * to.size(1), 256, [&](std::int64_t begin, std::int64_t end) { kernel(params, begin, end); });
}

// In place.
at::Tensor rotate_by_kernel(const at::Tensor& x, const RopeTable& table, RopeLayout layout) {
  run_kernel({}, x, table, layout);
  return x;
}

at::Tensor rotated_copy(const at::Tensor& x, const RopeTable& table, RopeLayout layout, bool inverse) {
  const at::Tensor from = x.stride(2) == 1 ? x : x.contiguous();
  at::Tensor y = empty_tensor_like(x);
  run_kernel({.inverse = inverse,
              .source = from.const_data_ptr(),
              .source_token_stride = from.stride(0),
              .source_head_stride = from.stride(1),
              .head_dim = x.size(2)},
             y, table, layout);
  return y;
}

// Saved: the table alone. A rotation's gradient is the rotation back.
class RopeNode : public torch::autograd::Function<RopeNode> {
 public:
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& x, const at::Tensor& cos,
                            const at::Tensor& sin, RopeLayout layout) {
    context->save_for_backward({cos, sin});
    context->saved_data["layout"] = static_cast<std::int64_t>(layout);
    return rotated_copy(x, {cos, sin}, layout, false);
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 const torch::autograd::variable_list& gradients) {
    once_differentiable("apply_rope");
    const auto saved = context->get_saved_variables();
    const auto layout = static_cast<RopeLayout>(context->saved_data["layout"].toInt());
    return {rotated_copy(gradients[0], {saved[0], saved[1]}, layout, true), {}, {}, {}};
  }
};

}  // namespace

std::vector<float> rope_frequencies(const Rope& rope, std::int64_t length) {
  const auto pairs = static_cast<std::size_t>(rope.rotary_dim / 2);
  const auto theta =
      static_cast<float>(rope.scaling == RopeScaling::dynamic ? dynamic_theta(rope, length) : rope.theta);
  const bool beyond = length > rope.original_max_position_embeddings;
  const Ramp ramp = rope.scaling == RopeScaling::yarn ? yarn_ramp(rope) : Ramp{};
  std::vector<float> frequencies(pairs);
  for (std::size_t i = 0; i < pairs; ++i) {
    const float exponent = static_cast<float>(2 * i) / static_cast<float>(rope.rotary_dim);
    const float frequency = 1.0f / std::pow(theta, exponent);
    float& out = frequencies[i];
    switch (rope.scaling) {
      case RopeScaling::none:
      case RopeScaling::dynamic: out = frequency; break;
      case RopeScaling::linear: out = frequency / static_cast<float>(rope.factor); break;
      case RopeScaling::yarn: out = yarn_frequency(frequency, i, rope, ramp); break;
      case RopeScaling::longrope: out = frequency / (beyond ? rope.long_factor : rope.short_factor)[i]; break;
      case RopeScaling::llama3: out = llama3_frequency(frequency, rope); break;
    }
    if (!rope.frequency_factors.empty()) out /= rope.frequency_factors[i];
  }
  return frequencies;
}

RopeTable empty_rope_table(const Rope& rope, std::int64_t tokens) {
  const std::int64_t pairs = rope.rotary_dim / 2;
  return {empty_tensor({tokens, pairs}, at::kFloat), empty_tensor({tokens, pairs}, at::kFloat)};
}

void rope_angles(const Rope& rope, std::span<const float> frequencies, std::int64_t position, float* cos, float* sin) {
  const auto scale = static_cast<float>(rope.attention_factor);
  for (std::size_t i = 0; i < frequencies.size(); ++i) {
    const float angle = static_cast<float>(position) * frequencies[i];
    cos[i] = std::cos(angle) * scale;
    sin[i] = std::sin(angle) * scale;
  }
}

void fill_rope_table(RopeTable& table, std::int64_t first, const Rope& rope, std::span<const float> frequencies,
                     std::span<const std::int64_t> position_ids) {
  const auto pairs = static_cast<std::int64_t>(frequencies.size());
  auto* cos = table.cos.data_ptr<float>() + first * pairs;
  auto* sin = table.sin.data_ptr<float>() + first * pairs;
  parallel_for(static_cast<std::int64_t>(position_ids.size()), 64, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t token = begin; token < end; ++token) {
      rope_angles(rope, frequencies, position_ids[static_cast<std::size_t>(token)], cos + token * pairs,
                  sin + token * pairs);
    }
  });
}

at::Tensor apply_rope(const at::Tensor& x, const RopeTable& table, RopeLayout layout, Numerics numerics) {
  if (numerics == Numerics::exact) {
    check_exact({x});
    const bool autograd = needs_autograd(x);
    const at::Tensor own = autograd || x.stride(2) != 1 ? x.detach().clone(at::MemoryFormat::Contiguous) : x;
    return differentiable_as(rotate_by_kernel(own, table, layout), autograd,
                             [&] { return rotate_by_library(x, table, layout); });
  }
  if (!has_kernels(x)) return rotate_by_library(x, table, layout);
  if (needs_autograd(x)) return RopeNode::apply(x, table.cos, table.sin, layout);
  return x.stride(2) == 1 ? rotate_by_kernel(x, table, layout) : rotated_copy(x, table, layout, false);
}

}  // namespace powerhouse::ops
