// Optimizer: checks parameters, lays their states into one memory, and runs a step over them: the gradients' norm, then
// one pass of the elementwise kernel, then the methods that look at whole tensors.
#include "powerhouse/optimizer.h"

#include <c10/core/GradMode.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "kernels/cpu/kernels.h"
#include "model/api_guard.h"
#include "ops/device_kernels.h"
#include "ops/tensors.h"
#include "powerhouse/error.h"
#include "support/shape_text.h"
#include "support/thread_team.h"
#include "training/device_updates.h"
#include "training/optimizer_method.h"
#include "training/optimizer_state.h"
#include "training/parameter_pass.h"

namespace powerhouse {
namespace {

[[noreturn]] void refuse(ErrorKind kind, const std::string& name, const char* what, std::string expected,
                         std::string found) {
  throw Error(kind, what, {.field = name, .expected = std::move(expected), .found = std::move(found)});
}

void check_parameter(const std::string& name, const at::Tensor& tensor) {
  if (!tensor.defined() || !tensor.is_leaf() || !tensor.requires_grad()) {
    refuse(ErrorKind::usage, name, "an optimizer takes leaves that require gradients", "a leaf", "another tensor");
  }
  if (!ops::has_kernels(tensor)) {
    refuse(ErrorKind::unsupported, name, "optimizers run on tensors of these types", "float32, bfloat16 or float16",
           c10::toString(tensor.scalar_type()));
  }
  if (!tensor.is_non_overlapping_and_dense()) {
    refuse(ErrorKind::unsupported, name, "optimizers take dense parameters", "one number after the other in memory",
           "strides " + shape_text(tensor.strides()));
  }
}

/// The gradient in the order in which the parameter lies in memory, as elementwise rules walk through it.
at::Tensor in_order_of(const at::Tensor& parameter, const at::Tensor& gradient) {
  if (gradient.strides() == parameter.strides()) return gradient;
  if (parameter.is_contiguous()) return gradient.contiguous();
  const c10::AutoGradMode no_gradients(false);
  return gradient.new_empty_strided(parameter.sizes(), parameter.strides()).copy_(gradient);
}

std::vector<ParameterSlot> make_slots(const std::vector<ParameterGroup>& groups) {
  std::vector<ParameterSlot> slots;
  std::set<std::string_view> names;
  std::set<const void*> tensors;
  for (const ParameterGroup& group : groups) {
    if (group.lr) check_not_negative("lr", *group.lr);
    if (group.weight_decay) check_not_negative("weight_decay", *group.weight_decay);
    check_not_negative("lr_scale", group.lr_scale);
    for (const auto& [name, tensor] : group.parameters) {
      check_parameter(name, tensor);
      if (!names.insert(name).second || !tensors.insert(tensor.unsafeGetTensorImpl()).second) {
        refuse(ErrorKind::usage, name, "a parameter stands twice among the optimizer's", "each once", "twice");
      }
      slots.push_back({.name = name,
                       .parameter = tensor,
                       .type = to_element(tensor.scalar_type()),
                       .lr_scale = group.lr_scale,
                       .lr = group.lr,
                       .weight_decay = group.weight_decay,
                       .muon = group.muon});
    }
  }
  return slots;
}

/// Whether the parameters lie on a device: all on one.
bool check_devices(const std::vector<ParameterSlot>& slots) {
  for (const ParameterSlot& slot : slots) {
    const at::Device first = slots.front().parameter.device(), own = slot.parameter.device();
    if (own != first) {
      refuse(ErrorKind::unsupported, slot.name, "parameters of one optimizer lie on one device", first.str(),
             own.str());
    }
  }
  return !slots.empty() && !slots.front().parameter.is_cpu();
}

cpu::UpdateState kernel_state(const at::Tensor& tensor) {
  const bool codes = tensor.scalar_type() == at::kByte;
  return {.data = tensor.mutable_data_ptr(), .type = codes ? Element::f32 : to_element(tensor.scalar_type())};
}

}  // namespace

struct Optimizer::Impl {
  std::vector<ParameterSlot> slots;
  std::vector<std::size_t> group_sizes;
  std::unique_ptr<OptimizerMethod> method;
  OptimizerStorage storage;
  std::shared_ptr<StateMemory> memory;
  bool on_device = false;  // all parameters are

  StepRate rate(const ParameterSlot& slot, double lr_multiplier, double grad_scale) const {
    const double multiplier = slot.lr_scale * lr_multiplier;
    return {.lr = slot.lr.value_or(method->lr(slot)) * multiplier,
            .multiplier = multiplier,
            .weight_decay = slot.weight_decay.value_or(method->weight_decay(slot)),
            .grad_scale = grad_scale};
  }

  void take_gradients() {
    for (ParameterSlot& slot : slots) {
      const at::Tensor& gradient = slot.parameter.grad();
      slot.gradient.reset();
      if (!gradient.defined()) continue;
      if (gradient.layout() != at::kStrided || gradient.scalar_type() != slot.parameter.scalar_type() ||
          gradient.device() != slot.parameter.device()) {
        refuse(ErrorKind::unsupported, slot.name, "a gradient is dense, and of its parameter's type and device",
               c10::toString(slot.parameter.scalar_type()), c10::toString(gradient.scalar_type()));
      }
      if (gradient.sizes() != slot.parameter.sizes()) {
        refuse(ErrorKind::usage, slot.name, "a gradient of another shape", shape_text(slot.parameter.sizes()),
               shape_text(gradient.sizes()));
      }
      slot.gradient = in_order_of(slot.parameter, gradient);
    }
  }

  void drop_gradients() {
    for (ParameterSlot& slot : slots) slot.gradient.reset();
  }

  /// What the norm is, and the first parameter whose part of it is not finite.
  StepResult measure(double grad_scale) const {
    StepResult result;
    double sum = 0;
    const std::vector<double> squares = on_device ? gradient_squares_on_device(slots) : gradient_squares(slots);
    for (std::size_t i = 0; i < slots.size(); ++i) {
      sum += squares[i];
      if (!std::isfinite(squares[i]) && result.not_finite.empty()) result.not_finite = slots[i].name;
    }
    result.grad_norm = std::sqrt(sum) * std::abs(grad_scale);
    result.applied = std::isfinite(result.grad_norm);
    return result;
  }

  void apply(double lr_multiplier, double grad_scale) {
    std::vector<ElementwiseUpdate> updates;
    std::vector<ParameterSlot*> whole;
    for (std::size_t i = 0; i < slots.size(); ++i) {
      ParameterSlot& slot = slots[i];
      if (!slot.gradient.defined()) continue;
      ++slot.step;
      cpu::UpdateParams params{.type = slot.type, .gradient = slot.gradient.const_data_ptr()};
      params.parameter = slot.parameter.mutable_data_ptr();
      if (slot.master.defined()) params.master = slot.master.data_ptr<float>();
      params.grad_scale = static_cast<float>(grad_scale);
      if (!slot.states.empty()) params.a = kernel_state(slot.states[0].tensor);
      if (slot.states.size() > 1) params.b = kernel_state(slot.states[1].tensor);
      const bool elementwise = method->rule(slot, rate(slot, lr_multiplier, grad_scale), params);
      if (elementwise) {
        updates.push_back({params, slot.parameter.numel(), static_cast<std::uint32_t>(i), slot.step});
      } else {
        whole.push_back(&slot);
      }
      slot.parameter.unsafeGetTensorImpl()->bump_version();
    }
    if (on_device) return run_updates_on_device(slots.front().parameter.device(), updates);
    run_updates(updates, *memory, {storage.stochastic_rounding, storage.seed});
    const auto update = [&](std::int64_t begin, std::int64_t end) {
      const c10::AutoGradMode no_gradients(false);
      for (std::int64_t i = begin; i < end; ++i) {
        ParameterSlot& slot = *whole[static_cast<std::size_t>(i)];
        method->update(slot, rate(slot, lr_multiplier, grad_scale));
        for (const StateTensor& state : slot.states)
          memory->release(state.tensor.const_data_ptr(), state.tensor.nbytes());
      }
    };
    const auto count = static_cast<std::int64_t>(whole.size());
    if (method->side_by_side()) {
      parallel_for(count, 1, update);
    } else {
      update(0, count);
    }
  }
};

Optimizer::Optimizer(const std::vector<ParameterGroup>& groups, const OptimizerOptions& options,
                     OptimizerStorage storage)
    : impl_(std::make_unique<Impl>()) {
  impl_->method = make_method(options);
  impl_->slots = make_slots(groups);
  impl_->on_device = check_devices(impl_->slots);
  if (impl_->on_device) check_device_optimizer(options, storage);
  for (const ParameterGroup& group : groups) impl_->group_sizes.push_back(group.parameters.size());
  for (ParameterSlot& slot : impl_->slots) {
    const bool wide = storage.state_dtype == OptimizerStorage::StateType::float32 || storage.master_weights;
    slot.states = impl_->method->states(slot, wide ? at::kFloat : slot.parameter.scalar_type());
  }
  impl_->memory = guarded([&] { return make_states(impl_->slots, storage); });
  impl_->storage = std::move(storage);
}

Optimizer::Optimizer(Optimizer&&) noexcept = default;
Optimizer& Optimizer::operator=(Optimizer&&) noexcept = default;
Optimizer::~Optimizer() = default;

StepResult Optimizer::step(const StepOptions& options) {
  check_not_negative("lr_multiplier", options.lr_multiplier);
  check_not_negative("grad_scale", options.grad_scale);
  impl_->take_gradients();
  StepResult result = impl_->measure(options.grad_scale);
  double scale = options.grad_scale;
  if (options.max_grad_norm > 0) scale *= std::min(1.0, options.max_grad_norm / (result.grad_norm + 1e-6));
  if (result.applied) guarded([&] { impl_->apply(options.lr_multiplier, scale); });
  impl_->drop_gradients();
  return result;
}

double Optimizer::grad_norm(double grad_scale) const {
  impl_->take_gradients();
  const double norm = impl_->measure(grad_scale).grad_norm;
  impl_->drop_gradients();
  return norm;
}

void Optimizer::zero_grad() {
  for (ParameterSlot& slot : impl_->slots) slot.parameter.mutable_grad().reset();
}

std::vector<NamedTensor> Optimizer::state_dict() const { return save_states(impl_->slots); }

void Optimizer::load_state_dict(std::span<const NamedTensor> state) {
  guarded([&] { load_states(impl_->slots, state); });
  for (const ParameterSlot& slot : impl_->slots) {
    for (const StateTensor& tensor : slot.states) {
      impl_->memory->release(tensor.tensor.const_data_ptr(), tensor.tensor.nbytes());
    }
  }
}

std::uint64_t Optimizer::state_bytes() const noexcept {
  if (!impl_->on_device) return impl_->memory->size();
  std::uint64_t bytes = 0;
  for (const ParameterSlot& slot : impl_->slots) {
    for (const StateTensor& state : slot.states) bytes += state.tensor.nbytes();
    if (slot.master.defined()) bytes += slot.master.nbytes();
  }
  return bytes;
}
bool Optimizer::paged() const noexcept { return impl_->memory->paged(); }

std::vector<double> Optimizer::learning_rates() const {
  std::vector<double> rates;
  std::size_t slot = 0;
  for (const std::size_t size : impl_->group_sizes) {
    rates.push_back(size == 0 ? 0 : impl_->rate(impl_->slots[slot], 1, 1).lr);
    slot += size;
  }
  return rates;
}

}  // namespace powerhouse
