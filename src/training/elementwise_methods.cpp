// SGD with momentum, Lion, Adagrad and RMSprop: rules of the elementwise kernel, of which each fills in the constants.
#include "powerhouse/error.h"
#include "training/optimizer_method.h"

namespace powerhouse {
namespace {

template <typename Options>
class Elementwise : public OptimizerMethod {
 public:
  explicit Elementwise(const Options& options) : options_(options) {}
  double lr(const ParameterSlot&) const override { return options_.lr; }
  double weight_decay(const ParameterSlot&) const override { return options_.weight_decay; }

 protected:
  static StateTensor state(std::string_view name, const ParameterSlot& slot, at::ScalarType number, double fill = 0) {
    return {name, number, slot.parameter.sizes().vec(), static_cast<float>(fill)};
  }
  Options options_;
};

class Sgd final : public Elementwise<SgdOptions> {
 public:
  using Elementwise::Elementwise;
  std::vector<StateTensor> states(const ParameterSlot& slot, at::ScalarType number) const override {
    if (options_.momentum == 0) return {};
    return {state("momentum_buffer", slot, number)};
  }
  bool rule(const ParameterSlot& slot, const StepRate& rate, cpu::UpdateParams& params) const override {
    params.rule = cpu::UpdateRule::sgd;
    params.l2 = static_cast<float>(rate.weight_decay);
    params.lr = static_cast<float>(rate.lr);
    params.beta1 = static_cast<float>(options_.momentum);
    params.one_minus_beta1 = static_cast<float>(1 - options_.dampening);
    params.nesterov = options_.nesterov;
    params.first = slot.step == 1;
    return true;
  }
};

class Lion final : public Elementwise<LionOptions> {
 public:
  using Elementwise::Elementwise;
  std::vector<StateTensor> states(const ParameterSlot& slot, at::ScalarType number) const override {
    return {state("exp_avg", slot, number)};
  }
  bool rule(const ParameterSlot&, const StepRate& rate, cpu::UpdateParams& params) const override {
    params.rule = cpu::UpdateRule::lion;
    params.decay = static_cast<float>(1 - rate.lr * rate.weight_decay);
    params.lr = static_cast<float>(rate.lr);
    params.beta1 = static_cast<float>(options_.beta1);
    params.one_minus_beta1 = static_cast<float>(1 - options_.beta1);
    params.beta2 = static_cast<float>(options_.beta2);
    params.one_minus_beta2 = static_cast<float>(1 - options_.beta2);
    return true;
  }
};

class Adagrad final : public Elementwise<AdagradOptions> {
 public:
  using Elementwise::Elementwise;
  std::vector<StateTensor> states(const ParameterSlot& slot, at::ScalarType number) const override {
    return {state("sum", slot, number, options_.initial_accumulator_value)};
  }
  bool rule(const ParameterSlot& slot, const StepRate& rate, cpu::UpdateParams& params) const override {
    params.rule = cpu::UpdateRule::adagrad;
    params.l2 = static_cast<float>(rate.weight_decay);
    params.lr = static_cast<float>(rate.lr / (1 + static_cast<double>(slot.step - 1) * options_.lr_decay));
    params.eps = static_cast<float>(options_.eps);
    return true;
  }
};

class Rmsprop final : public Elementwise<RmspropOptions> {
 public:
  using Elementwise::Elementwise;
  std::vector<StateTensor> states(const ParameterSlot& slot, at::ScalarType number) const override {
    std::vector<StateTensor> states{state("square_avg", slot, number)};
    if (options_.momentum > 0) states.push_back(state("momentum_buffer", slot, number));
    return states;
  }
  bool rule(const ParameterSlot&, const StepRate& rate, cpu::UpdateParams& params) const override {
    params.rule = cpu::UpdateRule::rmsprop;
    params.l2 = static_cast<float>(rate.weight_decay);
    params.lr = static_cast<float>(rate.lr);
    params.beta1 = static_cast<float>(options_.momentum);
    params.beta2 = static_cast<float>(options_.alpha);
    params.one_minus_beta2 = static_cast<float>(1 - options_.alpha);
    params.eps = static_cast<float>(options_.eps);
    return true;
  }
};

}  // namespace

std::unique_ptr<OptimizerMethod> make_method(const SgdOptions& options) {
  check_not_negative("lr", options.lr);
  check_not_negative("momentum", options.momentum);
  check_not_negative("weight_decay", options.weight_decay);
  if (options.nesterov && (options.momentum <= 0 || options.dampening != 0)) {
    throw Error(ErrorKind::usage, "nesterov needs a momentum and no dampening", {.field = "nesterov"});
  }
  return std::make_unique<Sgd>(options);
}

std::unique_ptr<OptimizerMethod> make_method(const LionOptions& options) {
  check_not_negative("lr", options.lr);
  check_beta("beta1", options.beta1);
  check_beta("beta2", options.beta2);
  check_not_negative("weight_decay", options.weight_decay);
  return std::make_unique<Lion>(options);
}

std::unique_ptr<OptimizerMethod> make_method(const AdagradOptions& options) {
  check_not_negative("lr", options.lr);
  check_not_negative("lr_decay", options.lr_decay);
  check_not_negative("weight_decay", options.weight_decay);
  check_not_negative("initial_accumulator_value", options.initial_accumulator_value);
  check_not_negative("eps", options.eps);
  return std::make_unique<Adagrad>(options);
}

std::unique_ptr<OptimizerMethod> make_method(const RmspropOptions& options) {
  check_not_negative("lr", options.lr);
  check_not_negative("alpha", options.alpha);
  check_not_negative("eps", options.eps);
  check_not_negative("weight_decay", options.weight_decay);
  check_not_negative("momentum", options.momentum);
  return std::make_unique<Rmsprop>(options);
}

}  // namespace powerhouse
