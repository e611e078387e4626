// Muon (Jordan et al. 2024) as torch.optim.Muon: the momentum of a matrix, made nearly orthogonal by five Newton-Schulz
// steps in bf16, whose products are LibTorch's. Parameters that are no matrices, or whose group says so, get AdamW.
//
// Matrices step side by side, each on one thread, so that no product is shared by threads and none rounds by their
// number.
#include <algorithm>
#include <cmath>

#include "kernels/common/float16.h"
#include "kernels/cpu/kernels.h"
#include "powerhouse/error.h"
#include "training/optimizer_method.h"

namespace powerhouse {
namespace {

/// The norm as bf16 arithmetic has it: summed in float32, rounded.
float bf16_norm(const at::Tensor& matrix) {
  const double sum = cpu::kernels().sum_squares(matrix.const_data_ptr(), Element::bf16, 0, matrix.numel());
  return to_float(rounded<bfloat16>(static_cast<float>(std::sqrt(sum))));
}

at::Tensor orthogonal(const at::Tensor& matrix, const MuonOptions& options) {
  const auto [a, b, c] = options.ns_coefficients;
  const bool tall = matrix.size(0) > matrix.size(1);
  at::Tensor x = matrix.to(at::kBFloat16);
  if (x.is_alias_of(matrix)) x = x.clone();  // a bf16 momentum stays what it is
  x.div_(std::max(bf16_norm(x), to_float(rounded<bfloat16>(static_cast<float>(options.eps)))));
  if (tall) x = x.t();
  for (int step = 0; step < options.ns_steps; ++step) {
    const at::Tensor gram = x.matmul(x.t());
    x = x.addmm(gram.addmm(gram, gram, b, c), x, a, 1);
  }
  return tall ? x.t() : x;
}

class Muon final : public OptimizerMethod {
 public:
  explicit Muon(const MuonOptions& options) : options_(options), adamw_(make_method(options.adamw)) {}

  double lr(const ParameterSlot& slot) const override { return here(slot) ? options_.lr : adamw_->lr(slot); }
  double weight_decay(const ParameterSlot& slot) const override {
    return here(slot) ? options_.weight_decay : adamw_->weight_decay(slot);
  }
  bool side_by_side() const override { return true; }

  std::vector<StateTensor> states(const ParameterSlot& slot, at::ScalarType number) const override {
    if (!here(slot)) return adamw_->states(slot, number);
    return {{"momentum_buffer", number, slot.parameter.sizes().vec()}};
  }

  bool rule(const ParameterSlot& slot, const StepRate& rate, cpu::UpdateParams& params) const override {
    return !here(slot) && adamw_->rule(slot, rate, params);
  }

  void update(ParameterSlot& slot, const StepRate& rate) const override {
    if (slot.parameter.numel() == 0) return;
    const at::Tensor& momentum = slot.states[0].tensor;
    at::Tensor gradient = slot.gradient;
    if (rate.grad_scale != 1) gradient = gradient.to(at::kFloat).mul(rate.grad_scale);
    gradient = gradient.to(momentum.scalar_type());
    momentum.lerp_(gradient, 1 - options_.momentum);
    const at::Tensor direction = options_.nesterov ? gradient.lerp(momentum, options_.momentum) : momentum;
    const auto rows = static_cast<double>(slot.parameter.size(0));
    const auto columns = static_cast<double>(slot.parameter.size(1));
    const double ratio = options_.adjust_lr_fn == "original" ? std::sqrt(std::max(1.0, rows / columns))
                                                             : 0.2 * std::sqrt(std::max(rows, columns));
    const at::Tensor& weights = slot.weights();
    weights.mul_(1 - rate.lr * rate.weight_decay);
    weights.add_(orthogonal(direction, options_), -rate.lr * ratio);
    if (slot.master.defined()) slot.parameter.copy_(slot.master);
  }

 private:
  static bool here(const ParameterSlot& slot) { return slot.muon && slot.parameter.dim() == 2; }

  MuonOptions options_;
  std::unique_ptr<OptimizerMethod> adamw_;
};

}  // namespace

std::unique_ptr<OptimizerMethod> make_method(const MuonOptions& options) {
  check_not_negative("lr", options.lr);
  check_not_negative("weight_decay", options.weight_decay);
  check_not_negative("momentum", options.momentum);
  check_not_negative("eps", options.eps);
  if (options.ns_steps < 0 || options.ns_steps >= 100) {
    throw Error(ErrorKind::range, "optimizer option out of range",
                {.field = "ns_steps", .expected = "0 to 99", .found = std::to_string(options.ns_steps)});
  }
  if (options.adjust_lr_fn != "original" && options.adjust_lr_fn != "match_rms_adamw") {
    throw Error(ErrorKind::usage, "unknown adjustment of the learning rate",
                {.field = "adjust_lr_fn", .expected = "original or match_rms_adamw", .found = options.adjust_lr_fn});
  }
  return std::make_unique<Muon>(options);
}

}  // namespace powerhouse
