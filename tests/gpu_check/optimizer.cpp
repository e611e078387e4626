// AdamW with eight-bit states: from fresh states the step is LibTorch's formula in float64, and many steps stay with
// the definition of codes in kernels/reference/optimizer.h.
#include "kernels/reference/optimizer.h"
#include "gpu_check/checks.h"
#include "training/state_codes.h"

namespace powerhouse::gpu_check {

namespace {

cpu::UpdateParams step_of(at::ScalarType type) {
  return {.type = element(type),
          .grad_scale = 0.5f,
          .decay = 0.999f,
          .lr = 1e-2f,
          .beta1 = 0.9f,
          .one_minus_beta1 = 0.1f,
          .beta2 = 0.95f,
          .one_minus_beta2 = 0.05f,
          .correction = 0.7f,
          .eps = 1e-6f};
}

// A map whose arrays lie on the device; `first` is not read there.
struct CodesThere {
  at::Tensor values, bounds;
  cpu::StateCodes codes;
  CodesThere(const Machine& machine, const cpu::StateCodes& of)
      : values(bytes_there(machine, of.values, 256 * 4)), bounds(bytes_there(machine, of.bounds, 256 * 4)), codes(of) {
    codes.values = static_cast<const float*>(values.data_ptr());
    codes.bounds = static_cast<const float*>(bounds.data_ptr());
  }
};

}  // namespace

void check_optimizer(Report& report, const Machine& machine) {
  Checked fresh(report, machine, "adamw8, first step"), later(report, machine, "adamw8, ten steps");
  const CodesThere signed_codes(machine, signed_state_codes()), unsigned_codes(machine, unsigned_state_codes());
  const std::int64_t n = machine.small ? 5000 : 200003, scales = (n + 255) / 256;
  for (const at::ScalarType type : kTypes) {
    const at::Tensor start = noise({n}, at::kFloat, 1), parameter = start.to(type);
    const at::Tensor w = there(machine, parameter).clone(), master = there(machine, start).clone();
    const at::Tensor a = there(machine, at::full({n}, 127, at::kByte)), b = there(machine, at::zeros({n}, at::kByte));
    const at::Tensor a_max = there(machine, at::zeros({scales})), b_max = there(machine, at::zeros({scales}));
    at::Tensor host_w = parameter.clone(), host_master = start.clone(), host_a = at::full({n}, 127, at::kByte);
    at::Tensor host_b = at::zeros({n}, at::kByte), host_a_max = at::zeros({scales}), host_b_max = at::zeros({scales});
    for (int step = 0; step < 10; ++step) {
      const at::Tensor gradient = noise({n}, type, 10 + static_cast<std::uint64_t>(step)), g = there(machine, gradient);
      cpu::UpdateParams params = step_of(type), right = params;
      params.gradient = g.data_ptr();
      params.parameter = w.data_ptr();
      params.master = master.data_ptr<float>();
      params.a = {.data = a.data_ptr(), .codes = &signed_codes.codes, .absmax = a_max.data_ptr<float>()};
      params.b = {.data = b.data_ptr(), .codes = &unsigned_codes.codes, .absmax = b_max.data_ptr<float>()};
      right.gradient = gradient.data_ptr();
      right.parameter = host_w.data_ptr();
      right.master = host_master.data_ptr<float>();
      right.a = {.data = host_a.data_ptr(), .codes = &signed_state_codes(), .absmax = host_a_max.data_ptr<float>()};
      right.b = {.data = host_b.data_ptr(), .codes = &unsigned_state_codes(), .absmax = host_b_max.data_ptr<float>()};
      const ops::DeviceKernels kernels(machine.device);
      const std::string name = at::toString(type);
      later.launched(name, kernels.launch(&cuda::KernelTable::adamw8, params, n));
      reference::optimizer_update(right, 0, n);
      if (step > 0) continue;
      for (const at::ScalarType to : {at::kDouble, at::kFloat}) {
        const at::Tensor scaled = wide(machine, gradient, to).mul(0.5);
        const at::Tensor moved = scaled.mul(0.1).div(scaled.square().mul(0.05).sqrt().div(0.7).add(1e-6)).mul(1e-2);
        fresh.tensor(name + (to == at::kDouble ? ", float64" : ", float32"), master, 2e-6,
                     wide(machine, start, to).mul(0.999).sub(moved));
      }
      fresh.tensor(name + " parameter", w, 0, master.to(at::kCPU).to(type));
    }
    // A code may fall on the other side of a bound by a rounding, and weights then differ by that code: few do.
    const auto share = [&](const at::Tensor& found, const at::Tensor& expected) {
      return found.to(at::kCPU).ne(expected).sum().item<double>() / static_cast<double>(n);
    };
    later.number(std::string(at::toString(type)) + " first states' codes that differ", share(a, host_a), 1e-3);
    later.number(std::string(at::toString(type)) + " second states' codes that differ", share(b, host_b), 1e-3);
    const at::Tensor difference = master.to(at::kCPU).sub(host_master).abs();
    later.number(std::string(at::toString(type)) + " mean difference of weights", difference.mean().item<double>(),
                 1e-6);
  }
}

}  // namespace powerhouse::gpu_check
