#include "adapters/lora_init.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/linalg_qr_ops.h>
#include <ATen/ops/linalg_svd_ops.h>

#include <algorithm>
#include <charconv>
#include <cmath>

#include "ops/dequantize.h"
#include "ops/tensors.h"
#include "powerhouse/error.h"
#include "support/normal.h"

namespace powerhouse {
namespace {

constexpr std::string_view kNiter = "pissa_niter_";

// The number of iterations in "pissa_niter_N"; -1: none.
int iterations(std::string_view init) {
  if (!init.starts_with(kNiter)) return -1;
  const std::string_view digits = init.substr(kNiter.size());
  int value = -1;
  const auto [end, failure] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  return failure == std::errc() && end == digits.data() + digits.size() && value <= 1000 ? value : -1;
}

struct Factors {
  at::Tensor u, s, vh;  // [out, r], [r], [r, in]
};

Factors leading(const at::Tensor& matrix, std::int64_t rank) {
  const auto [u, s, vh] = at::_ops::linalg_svd::call(matrix, false, std::nullopt);
  return {u.narrow(1, 0, rank), s.narrow(0, 0, rank), vh.narrow(0, 0, rank)};
}

at::Tensor orthonormal(const at::Tensor& matrix) { return std::get<0>(at::_ops::linalg_qr::call(matrix, "reduced")); }

// Halko, Martinsson and Tropp 2011, algorithms 4.4 and 5.1, from a random block of our own.
Factors approximate(const at::Tensor& matrix, std::int64_t rank, int rounds, std::uint64_t seed, std::uint32_t lane) {
  at::Tensor q = orthonormal(matrix.matmul(normal_tensor({matrix.size(1), rank}, 1, seed, lane)));
  for (int i = 0; i < rounds; ++i) {
    q = orthonormal(matrix.t().matmul(q));
    q = orthonormal(matrix.matmul(q));
  }
  Factors inner = leading(q.t().matmul(matrix), rank);
  inner.u = q.matmul(inner.u);
  return inner;
}

void take_principal(LoraModule& out, const Factors& factors) {
  const at::Tensor root = factors.s.div(out.scale).sqrt();
  out.a = root.unsqueeze(1).mul(factors.vh).contiguous();
  out.b = factors.u.mul(root.unsqueeze(0)).contiguous();
}

// Rows of outputs in float32, of the values that the model computes with; blocks stay blocks.
at::Tensor base_matrix(const Model& model, const HfModule& module) {
  const Weight& weight = weight_of(model, module);
  return dequantized(weight, weight.compute_type()).detach().to(at::kCPU, at::kFloat);
}

void from_weight(LoraModule& out, const Model& model, const LoraConfig& config, std::uint32_t lane) {
  const at::Tensor matrix = base_matrix(model, out.module);
  if (out.rank > std::min(matrix.size(0), matrix.size(1))) {
    throw Error(ErrorKind::range, "a rank beyond the matrix's has no singular vectors",
                {.field = out.module.name, .found = std::to_string(out.rank)});
  }
  if (config.init_lora_weights == "olora") {
    const auto [q, r] = at::_ops::linalg_qr::call(matrix, "reduced");
    out.b = q.narrow(1, 0, out.rank).contiguous();
    out.a = r.narrow(0, 0, out.rank).contiguous();
  } else if (const int rounds = iterations(config.init_lora_weights); rounds >= 0) {
    take_principal(out, approximate(matrix, out.rank, rounds, config.seed, lane));
  } else {
    take_principal(out, leading(matrix, out.rank));
  }
  out.first_a = out.a.clone();
  out.first_b = out.b.clone();
}

}  // namespace

at::Tensor uniform_tensor(at::IntArrayRef sizes, double bound, std::uint64_t seed, std::uint32_t lane) {
  const Random random(seed, RandomStream::initialization, lane);
  at::Tensor tensor = empty_tensor(sizes, at::kFloat);
  auto* const to = tensor.mutable_data_ptr<float>();
  for (std::int64_t i = 0; i < tensor.numel(); ++i) {
    to[i] = static_cast<float>((2 * random.uniform(static_cast<std::uint64_t>(i)) - 1) * bound);
  }
  return tensor;
}

at::Tensor normal_tensor(at::IntArrayRef sizes, double deviation, std::uint64_t seed, std::uint32_t lane) {
  at::Tensor tensor = empty_tensor(sizes, at::kFloat);
  fill_normal(tensor.mutable_data_ptr<float>(), tensor.numel(), deviation,
              Random(seed, RandomStream::initialization, lane));
  return tensor;
}

void check_init(const LoraConfig& config) {
  const std::string& init = config.init_lora_weights;
  const bool from_base = init == "pissa" || init == "olora" || iterations(init) >= 0;
  if (init != "true" && init != "false" && init != "gaussian" && !from_base) {
    throw Error(ErrorKind::unsupported, "this initialization is not built",
                {.field = "init_lora_weights",
                 .expected = "true, false, gaussian, pissa, pissa_niter_N or olora",
                 .found = init});
  }
  if (from_base && (config.use_dora || !config.target_parameters.empty())) {
    throw Error(ErrorKind::unsupported, "an initialization from the weight is for plain LoRA on linear layers",
                {.field = "init_lora_weights", .found = init});
  }
  if (config.lora_bias && (config.use_dora || (init != "true" && init != "false"))) {
    throw Error(ErrorKind::usage, "a bias of B goes with plain LoRA alone", {.field = "lora_bias"});
  }
}

void init_lora(LoraModule& out, const Model& model, const LoraConfig& config, std::uint32_t lane, Start start) {
  const HfModule& module = out.module;
  const std::string& init = config.init_lora_weights;
  const std::int64_t rows = out.rank * std::max<std::int64_t>(1, module.experts);
  const double bound = 1 / std::sqrt(static_cast<double>(module.inputs));  // Kaiming's with a = sqrt(5)
  const bool from_base = init == "olora" || init.starts_with("pissa");
  if (start == Start::from_file && !from_base) {
    out.a = empty_tensor({rows, module.inputs}, at::kFloat);
    out.b = empty_tensor({module.outputs, rows}, at::kFloat);
    if (config.lora_bias) out.bias = empty_tensor({module.outputs}, at::kFloat);
    if (config.use_dora) out.magnitude = empty_tensor({module.outputs}, at::kFloat);
    return;
  }
  if (module.kind == ModuleKind::embedding) {
    const bool zero = init != "false";
    out.a = normal_tensor({rows, module.inputs}, zero ? 0 : 1, config.seed, lane);
    out.b = normal_tensor({module.outputs, rows}, 1, config.seed, lane + 1);
  } else if (!from_base) {
    out.a = init == "gaussian"
                ? normal_tensor({rows, module.inputs}, 1.0 / static_cast<double>(out.rank), config.seed, lane)
                : uniform_tensor({rows, module.inputs}, bound, config.seed, lane);
    const double b_bound = init == "false" ? 1 / std::sqrt(static_cast<double>(rows)) : 0;
    out.b = uniform_tensor({module.outputs, rows}, b_bound, config.seed, lane + 1);
    if (config.lora_bias) out.bias = uniform_tensor({module.outputs}, b_bound, config.seed, lane + 2);
  } else {
    from_weight(out, model, config, lane);
  }
  if (config.use_dora) out.magnitude = dora_magnitude(out, model);
}

at::Tensor dora_magnitude(const LoraModule& out, const Model& model) {
  const auto here = [](const at::Tensor& x) { return x.detach().to(at::kCPU); };
  const at::Tensor delta = here(out.b).matmul(here(out.a)).mul(out.scale);
  const at::Tensor base = base_matrix(model, out.module);
  const bool embedding = out.module.kind == ModuleKind::embedding;
  return (embedding ? base.t() : base).add(delta).norm(2, {1}, false).contiguous().to(out.b.device());
}

}  // namespace powerhouse
