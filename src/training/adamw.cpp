// AdamW (Loshchilov and Hutter 2019) with states that are numbers, as torch.optim.AdamW, or 8-bit codes by blocks
// (Dettmers et al. 2022), as bitsandbytes. Both decay first and divide the root of the second moment by its correction.
#include <cmath>

#include "powerhouse/error.h"
#include "training/optimizer_method.h"
#include "training/state_codes.h"

namespace powerhouse {
namespace {

void check(double lr, double beta1, double beta2, double eps, double weight_decay) {
  check_not_negative("lr", lr);
  check_beta("beta1", beta1);
  check_beta("beta2", beta2);
  check_not_negative("eps", eps);
  check_not_negative("weight_decay", weight_decay);
}

template <typename Options>
void fill(const Options& options, const ParameterSlot& slot, const StepRate& rate, cpu::UpdateParams& params) {
  const auto step = static_cast<double>(slot.step);
  params.rule = cpu::UpdateRule::adamw;
  params.decay = static_cast<float>(1 - rate.lr * rate.weight_decay);
  params.lr = static_cast<float>(rate.lr / (1 - std::pow(options.beta1, step)));
  params.beta1 = static_cast<float>(options.beta1);
  params.one_minus_beta1 = static_cast<float>(1 - options.beta1);
  params.beta2 = static_cast<float>(options.beta2);
  params.one_minus_beta2 = static_cast<float>(1 - options.beta2);
  params.correction = static_cast<float>(std::sqrt(1 - std::pow(options.beta2, step)));
  params.eps = static_cast<float>(options.eps);
}

class AdamW final : public OptimizerMethod {
 public:
  explicit AdamW(const AdamWOptions& options) : options_(options) {}
  double lr(const ParameterSlot&) const override { return options_.lr; }
  double weight_decay(const ParameterSlot&) const override { return options_.weight_decay; }

  std::vector<StateTensor> states(const ParameterSlot& slot, at::ScalarType number) const override {
    const std::vector<std::int64_t> sizes = slot.parameter.sizes().vec();
    return {{"exp_avg", number, sizes}, {"exp_avg_sq", number, sizes}};
  }

  bool rule(const ParameterSlot& slot, const StepRate& rate, cpu::UpdateParams& params) const override {
    fill(options_, slot, rate, params);
    return true;
  }

 private:
  AdamWOptions options_;
};

class AdamW8bit final : public OptimizerMethod {
 public:
  explicit AdamW8bit(const AdamW8bitOptions& options) : options_(options) {}
  double lr(const ParameterSlot&) const override { return options_.lr; }
  double weight_decay(const ParameterSlot&) const override { return options_.weight_decay; }

  std::vector<StateTensor> states(const ParameterSlot& slot, at::ScalarType) const override {
    const std::vector<std::int64_t> sizes = slot.parameter.sizes().vec();
    const std::int64_t count = slot.parameter.numel();
    if (count < options_.min_8bit_size) return {{"state1", at::kFloat, sizes}, {"state2", at::kFloat, sizes}};
    const std::vector<std::int64_t> blocks{(count + cpu::kStateBlock - 1) / cpu::kStateBlock};
    return {{"state1", at::kByte, sizes},
            {"state2", at::kByte, sizes},
            {"absmax1", at::kFloat, blocks},
            {"absmax2", at::kFloat, blocks}};
  }

  bool rule(const ParameterSlot& slot, const StepRate& rate, cpu::UpdateParams& params) const override {
    fill(options_, slot, rate, params);
    if (slot.states.size() == 4) {
      params.a.codes = &signed_state_codes();
      params.b.codes = &unsigned_state_codes();
      params.a.absmax = slot.states[2].tensor.data_ptr<float>();
      params.b.absmax = slot.states[3].tensor.data_ptr<float>();
    }
    return true;
  }

 private:
  AdamW8bitOptions options_;
};

}  // namespace

std::unique_ptr<OptimizerMethod> make_method(const AdamWOptions& options) {
  check(options.lr, options.beta1, options.beta2, options.eps, options.weight_decay);
  return std::make_unique<AdamW>(options);
}

std::unique_ptr<OptimizerMethod> make_method(const AdamW8bitOptions& options) {
  check(options.lr, options.beta1, options.beta2, options.eps, options.weight_decay);
  check_not_negative("min_8bit_size", static_cast<double>(options.min_8bit_size));
  return std::make_unique<AdamW8bit>(options);
}

}  // namespace powerhouse
