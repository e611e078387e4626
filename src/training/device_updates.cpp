#include "training/device_updates.h"

#include <c10/core/GradMode.h>

#include <map>
#include <mutex>
#include <variant>

#include "ops/device_kernels.h"
#include "ops/tensors.h"
#include "powerhouse/error.h"

namespace powerhouse {
namespace {

[[noreturn]] void refuse(const char* field, std::string expected, std::string found) {
  throw Error(ErrorKind::unsupported, "no step of the optimizer on a device with these options",
              {.field = field, .expected = std::move(expected), .found = std::move(found)});
}

// A map of codes with its values and bounds on the device, kept for good.
cpu::StateCodes codes_on(const at::Device& device, const cpu::StateCodes& codes) {
  static std::mutex mutex;
  static auto* const kept = new std::map<std::pair<const cpu::StateCodes*, int>, at::Tensor>();
  const std::lock_guard lock(mutex);
  at::Tensor& both = (*kept)[{&codes, device.index()}];
  if (!both.defined()) {
    std::vector<float> values(codes.values, codes.values + 256);
    values.insert(values.end(), codes.bounds, codes.bounds + 256);
    both = float_tensor(values, device);
  }
  cpu::StateCodes there = codes;
  there.values = both.const_data_ptr<float>();
  there.bounds = there.values + 256;
  return there;
}

void by_kernel(const ParameterSlot& slot, cpu::UpdateParams params) {
  const at::Device device = slot.parameter.device();
  const cpu::StateCodes a = codes_on(device, *params.a.codes), b = codes_on(device, *params.b.codes);
  params.a.codes = &a;
  params.b.codes = &b;
  ops::DeviceKernels(device).must_launch("adamw8", &cuda::KernelTable::adamw8, params, slot.parameter.numel());
}

// In float32, rounded once where it is stored, as the CPU's kernel has it.
void by_library(const ParameterSlot& slot, const cpu::UpdateParams& p) {
  const auto wide = [](const at::Tensor& x) { return x.to(at::kFloat); };
  at::Tensor w = wide(slot.weights());
  at::Tensor slope = wide(slot.gradient).mul(p.grad_scale);
  if (p.l2 != 0.0f) slope = slope.add(w, p.l2);
  const at::Tensor &first = slot.states[0].tensor, &second = slot.states[1].tensor;
  const at::Tensor a = wide(first).lerp(slope, p.one_minus_beta1);
  const at::Tensor b = wide(second).mul(p.beta2).addcmul(slope, slope, p.one_minus_beta2);
  w = w.mul(p.decay).addcdiv(a, b.sqrt().div(p.correction).add(p.eps), -p.lr);
  first.copy_(a);
  second.copy_(b);
  slot.weights().copy_(w);
  if (slot.master.defined()) slot.parameter.copy_(w);
}

}  // namespace

void check_device_optimizer(const OptimizerOptions& options, const OptimizerStorage& storage) {
  const bool adamw = std::holds_alternative<AdamWOptions>(options) || std::holds_alternative<AdamW8bitOptions>(options);
  if (!adamw) refuse("optimizer", "AdamW, with or without 8-bit states", "another");
  if (storage.paged || storage.paged_above_bytes > 0) refuse("paged", "states on the device", "states in a file");
  if (storage.stochastic_rounding) refuse("stochastic_rounding", "false", "true");
}

std::vector<double> gradient_squares_on_device(std::span<const ParameterSlot> slots) {
  std::vector<double> result(slots.size());
  std::vector<at::Tensor> sums;
  std::vector<std::size_t> places;
  for (std::size_t i = 0; i < slots.size(); ++i) {
    if (!slots[i].gradient.defined()) continue;
    sums.push_back(slots[i].gradient.to(at::kDouble).square().sum().view({1}));
    places.push_back(i);
  }
  if (sums.empty()) return result;
  const at::Tensor all = concatenate(sums, 0).to(at::kCPU);
  for (std::size_t i = 0; i < places.size(); ++i) result[places[i]] = all.const_data_ptr<double>()[i];
  return result;
}

void update_on_device(const ParameterSlot& slot, const cpu::UpdateParams& params) {
  const c10::AutoGradMode no_gradients(false);
  params.a.codes != nullptr ? by_kernel(slot, params) : by_library(slot, params);
}

}  // namespace powerhouse
