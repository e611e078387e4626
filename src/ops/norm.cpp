#include "ops/norm.h"

#include <ATen/ops/layer_norm_ops.h>

#include "kernels/cpu/kernels.h"
#include "ops/device_kernels.h"
#include "ops/exact.h"
#include "ops/remake.h"
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

bool parameter_fits(const at::Tensor& x, const at::Tensor& parameter) {
  return !parameter.defined() ||
         (parameter.is_contiguous() && parameter.scalar_type() == x.scalar_type() && parameter.device() == x.device());
}

// A block of a device's threads holds a row (kernels/cuda/row_kernels.h), a longer one by 16 bytes at once.
constexpr std::int64_t kShortRow = 4096, kLongRow = 16384;

bool by_sixteen_bytes(const at::Tensor& x) {
  return !x.defined() || (x.is_contiguous() && reinterpret_cast<std::uintptr_t>(x.const_data_ptr()) % 16 == 0 &&
                          x.size(-1) * static_cast<std::int64_t>(x.element_size()) % 16 == 0);
}

bool row_fits(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
  if (x.is_cpu() || x.size(-1) <= kShortRow) return true;
  return x.size(-1) <= kLongRow && by_sixteen_bytes(x) && by_sixteen_bytes(weight) && by_sixteen_bytes(bias);
}

bool kernel_takes(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
  return has_kernels(x) && (x.dim() == 2 || x.dim() == 3) && x.stride(-1) == 1 && parameter_fits(x, weight) &&
         parameter_fits(x, bias) && row_fits(x, weight, bias);
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

template <typename Params, typename OnDevice>
void run(const at::Tensor& x, const Params& params, void (*kernel)(const Params&, std::int64_t, std::int64_t),
         OnDevice on_device) {
  const std::int64_t rows = x.size(0);
  if (!x.is_cpu()) return DeviceKernels(x.device()).must_launch("norm", on_device, params, rows * params.heads);
  parallel_for(rows * params.heads, std::max<std::int64_t>(1, 16384 / std::max<std::int64_t>(1, params.size)),
               [&](std::int64_t begin, std::int64_t end) { kernel(params, begin, end); });
}

at::Tensor by_kernel(const at::Tensor& x, const Norm& choice, const at::Tensor& weight, const at::Tensor& bias) {
  at::Tensor y = empty_tensor_like(x);
  if (choice.kind == NormKind::layer_norm) {
    auto params = describe<cpu::LayerNormParams>(x, choice, weight, y);
    params.x = x.const_data_ptr();
    params.bias = data_or_null(bias);
    run(x, params, cpu::kernels().layer_norm, &cuda::KernelTable::layer_norm);
  } else {
    auto params = describe<cpu::RmsNormParams>(x, choice, weight, y);
    params.x = const_cast<void*>(x.const_data_ptr());  // read only: there is no residual
    params.unit_offset = choice.unit_offset;
    params.round_once = choice.round_once;
    run(x, params, cpu::kernels().rms_norm, &cuda::KernelTable::rms_norm);
  }
  return y;
}

// Sums of parts [parts, ...] in their order, whatever the number of threads.
at::Tensor sum_of_parts(const at::Tensor& parts, const at::Tensor& like) {
  if (!parts.is_cpu()) return parts.sum(0).view(like.sizes()).to(like.scalar_type());
  at::Tensor sum = empty_tensor(like.sizes(), at::kFloat);
  const auto* const from = parts.const_data_ptr<float>();
  auto* const to = sum.mutable_data_ptr<float>();
  const std::int64_t count = sum.numel();
  parallel_for(count, 1024, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) to[i] = 0.0f;
    for (std::int64_t part = 0; part < parts.size(0); ++part) {
      for (std::int64_t i = begin; i < end; ++i) to[i] += from[part * count + i];
    }
  });
  return sum.to(like.scalar_type());
}

// Where a tensor of rows, of heads or not, lies.
struct Strides {
  explicit Strides(const at::Tensor& x) : row(x.stride(0)), head(x.dim() == 3 ? x.stride(1) : 0) {}
  std::int64_t row, head;
};

struct NormGradients {
  at::Tensor dx, dweight, dbias;
};

// Rows whose sums are one part: on a device each is a block's, and there are enough to fill any.
std::int64_t rows_of_part(const at::Tensor& x) {
  constexpr std::int64_t kBlocks = 512;
  return x.is_cpu() ? cpu::kNormRows : std::max<std::int64_t>(4, (x.size(0) + kBlocks - 1) / kBlocks);
}

// Those that are wanted.
NormGradients gradients_by_kernel(const at::Tensor& x, const at::Tensor& dy, const at::Tensor& weight,
                                  const at::Tensor& bias, const Norm& choice, const bool wanted[3]) {
  const std::int64_t part_rows = rows_of_part(x);
  const std::int64_t parts = (x.size(0) + part_rows - 1) / part_rows;
  const auto room = [&](const at::Tensor& of) { return empty_tensor({parts, of.numel()}, at::kFloat, x.device()); };
  NormGradients out;
  if (wanted[0]) out.dx = empty_tensor_like(x);
  if (wanted[1]) out.dweight = room(weight);
  if (wanted[2]) out.dbias = room(bias);
  const Strides x_at(x);
  const Strides dy_at(dy);
  const Strides dx_at(out.dx.defined() ? out.dx : x);
  const at::Tensor& parameter = weight.defined() ? weight : bias;
  const cpu::NormGradientParams params{
      .type = to_element(x.scalar_type()),
      .centered = choice.kind == NormKind::layer_norm,
      .x = x.const_data_ptr(),
      .dy = dy.const_data_ptr(),
      .weight = data_or_null(weight),
      .dx = out.dx.defined() ? out.dx.mutable_data_ptr() : nullptr,
      .dweight = out.dweight.defined() ? out.dweight.mutable_data_ptr<float>() : nullptr,
      .dbias = out.dbias.defined() ? out.dbias.mutable_data_ptr<float>() : nullptr,
      .rows = x.size(0),
      .size = x.size(-1),
      .x_stride = x_at.row,
      .dy_stride = dy_at.row,
      .dx_stride = dx_at.row,
      .heads = x.dim() == 3 ? x.size(1) : 1,
      .x_head_stride = x_at.head,
      .dy_head_stride = dy_at.head,
      .dx_head_stride = dx_at.head,
      .weight_head_stride = parameter.defined() && parameter.dim() == 2 ? parameter.size(1) : 0,
      .epsilon = choice.epsilon,
      .unit_offset = choice.unit_offset && choice.kind != NormKind::layer_norm,
      .round_once = choice.round_once};
  if (x.is_cpu()) {
    const auto kernel = cpu::kernels().norm_gradient;
    parallel_for(parts, 1, [&](std::int64_t begin, std::int64_t end) { kernel(params, begin, end); });
  } else {
    DeviceKernels(x.device()).must_launch("norm", &cuda::KernelTable::norm_gradient, params, part_rows);
  }
  if (wanted[1]) out.dweight = sum_of_parts(out.dweight, weight);
  if (wanted[2]) out.dbias = sum_of_parts(out.dbias, bias);
  return out;
}

at::Tensor gradient_rows(const at::Tensor& dy) {
  const bool walkable = dy.stride(-1) == 1 && row_fits(dy, {}, {});
  return walkable ? dy : dy.clone(at::MemoryFormat::Contiguous);
}

// Saved: the inputs x, weight and bias. Statistics and what was normalised are computed again in backward.
class NormNode : public RemakingNode {
 public:
  NormNode(const Norm& choice, bool has_weight, bool has_bias)
      : choice_(choice), has_weight_(has_weight), has_bias_(has_bias) {}

  std::string name() const override { return "norm"; }

  static at::Tensor of(const at::Tensor& x, const Norm& choice, const at::Tensor& weight, const at::Tensor& bias) {
    Tensors inputs{x};
    if (weight.defined()) inputs.push_back(weight);
    if (bias.defined()) inputs.push_back(bias);
    return record(make_node<NormNode>(choice, weight.defined(), bias.defined()), inputs);
  }

 protected:
  at::Tensor value(at::TensorList inputs) const override {
    return by_kernel(inputs[0], choice_, has_weight_ ? inputs[1] : at::Tensor(),
                     has_bias_ ? inputs.back() : at::Tensor());
  }

  Tensors gradients(const Tensors& inputs, const at::Tensor& dy, const std::vector<bool>& wanted) const override {
    const bool all[] = {wanted[0], has_weight_ && wanted[1], has_bias_ && wanted.back()};
    const NormGradients found =
        gradients_by_kernel(inputs[0], gradient_rows(dy), has_weight_ ? inputs[1] : at::Tensor(),
                            has_bias_ ? inputs.back() : at::Tensor(), choice_, all);
    Tensors out{found.dx};
    if (has_weight_) out.push_back(found.dweight);
    if (has_bias_) out.push_back(found.dbias);
    return out;
  }

 private:
  Norm choice_;
  bool has_weight_, has_bias_;
};

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
  if (!kernel_takes(x, weight, bias)) return by_library();
  return needs_autograd(x, weight, bias) ? NormNode::of(x, choice, weight, bias) : by_kernel(x, choice, weight, bias);
}

}  // namespace powerhouse::ops
