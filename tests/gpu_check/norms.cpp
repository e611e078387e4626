// Norms and their gradients against LibTorch's definitions, the gradients by its autograd.
#include "gpu_check/checks.h"

namespace powerhouse::gpu_check {

namespace {

struct Case {
  std::int64_t rows, heads, size;
  bool residual = false, unit_offset = false, round_once = false;
};
constexpr Case kCases[] = {{37, 1, 576},
                           {8, 1, 2048, true},
                           {5, 3, 64},
                           {16, 1, 100, false, true},
                           {9, 1, 4096, true, false, true},
                           {3, 1, 8200},
                           {200, 1, 128, false, false, true}};

std::string name_of(const Case& c, at::ScalarType type) {
  return std::string(at::toString(type)) + " [" + std::to_string(c.rows) + ", " + std::to_string(c.heads) + ", " +
         std::to_string(c.size) + "]" + (c.residual ? " residual" : "") + (c.unit_offset ? " unit offset" : "") +
         (c.round_once ? " round once" : "");
}

at::Tensor rms(const at::Tensor& x, const at::Tensor& weight, bool unit_offset) {
  const at::Tensor normed = x.mul(x.square().mean(-1, true).add(1e-5).rsqrt());
  return normed.mul(unit_offset ? weight.add(1) : weight);
}

void check_rms(Report& report, const Machine& machine) {
  Checked checked(report, machine, "rms_norm");
  for (const at::ScalarType type : kTypes) {
    for (const Case& c : kCases) {
      const at::Tensor x = noise({c.rows, c.heads, c.size}, type, 1), weight = noise({c.size}, type, 2);
      const at::Tensor residual = c.residual ? noise({c.rows, 1, c.size}, type, 3) : at::Tensor();
      const at::Tensor x_there = there(machine, x).clone(), w = there(machine, weight), y = at::empty_like(x_there);
      const at::Tensor r = c.residual ? there(machine, residual) : at::Tensor();
      cpu::RmsNormParams params{.type = element(type),
                                .x = x_there.data_ptr(),
                                .weight = w.data_ptr(),
                                .y = y.data_ptr(),
                                .size = c.size,
                                .x_stride = c.heads * c.size,
                                .y_stride = c.heads * c.size,
                                .heads = c.heads,
                                .x_head_stride = c.size,
                                .y_head_stride = c.size,
                                .unit_offset = c.unit_offset,
                                .round_once = c.round_once};
      if (c.residual) {
        params.residual = r.data_ptr();
        params.residual_stride = c.size;
      }
      const ops::DeviceKernels kernels(machine.device);
      checked.launched(name_of(c, type), kernels.launch(&cuda::KernelTable::rms_norm, params, c.rows * c.heads));
      const at::Tensor sum = c.residual ? x.to(at::kFloat).add(residual.to(at::kFloat)).to(type) : x;
      if (c.residual) checked.tensor(name_of(c, type) + " sum", x_there, 0, sum);
      checked.tensor(name_of(c, type), y, allowed(type, 2), [&](at::ScalarType to) {
        return rms(wide(machine, sum, to), wide(machine, weight, to), c.unit_offset);
      });
    }
  }
}

void check_layer(Report& report, const Machine& machine) {
  Checked checked(report, machine, "layer_norm");
  for (const at::ScalarType type : kTypes) {
    for (const Case& c : kCases) {
      const at::Tensor x = noise({c.rows, c.heads, c.size}, type, 4), weight = noise({c.size}, type, 5);
      const at::Tensor bias = noise({c.size}, type, 6);
      const at::Tensor x_there = there(machine, x), w = there(machine, weight), b = there(machine, bias);
      const at::Tensor y = at::empty_like(x_there);
      const cpu::LayerNormParams params{.type = element(type),
                                        .x = x_there.data_ptr(),
                                        .weight = w.data_ptr(),
                                        .bias = b.data_ptr(),
                                        .y = y.data_ptr(),
                                        .size = c.size,
                                        .x_stride = c.heads * c.size,
                                        .y_stride = c.heads * c.size,
                                        .heads = c.heads,
                                        .x_head_stride = c.size,
                                        .y_head_stride = c.size};
      const ops::DeviceKernels kernels(machine.device);
      checked.launched(name_of(c, type), kernels.launch(&cuda::KernelTable::layer_norm, params, c.rows * c.heads));
      checked.tensor(name_of(c, type), y, allowed(type, 1.25), [&](at::ScalarType to) {
        return at::layer_norm(wide(machine, x, to), {c.size}, wide(machine, weight, to), wide(machine, bias, to), 1e-5);
      });
    }
  }
}

// dx, dweight and dbias by LibTorch's autograd.
std::vector<at::Tensor> gradients(const Machine& machine, const at::Tensor& x, const at::Tensor& weight,
                                  const at::Tensor& dy, const Case& c, bool centered, at::ScalarType to) {
  const at::Tensor leaf = wide(machine, x, to).detach().clone().set_requires_grad(true);
  const at::Tensor w = wide(machine, weight, to).detach().clone().set_requires_grad(true);
  const at::Tensor b = at::zeros_like(w).set_requires_grad(true);
  const at::Tensor y = centered ? at::layer_norm(leaf, {c.size}, w, b, 1e-5) : rms(leaf, w, c.unit_offset);
  y.backward(wide(machine, dy, to));
  return {leaf.grad(), w.grad(), centered ? b.grad() : at::Tensor()};
}

void check_gradient(Report& report, const Machine& machine, bool centered) {
  Checked checked(report, machine, centered ? "layer_norm gradient" : "rms_norm gradient");
  constexpr std::int64_t kPart = 16;
  for (const at::ScalarType type : kTypes) {
    for (Case c : kCases) {
      c.unit_offset = c.unit_offset && !centered;
      c.residual = false;
      const at::Tensor x = noise({c.rows, c.heads, c.size}, type, 7), dy = noise({c.rows, c.heads, c.size}, type, 8);
      const at::Tensor weight = noise({c.size}, type, 9);
      const at::Tensor x_there = there(machine, x), dy_there = there(machine, dy), w = there(machine, weight);
      const at::Tensor dx = at::empty_like(x_there);
      const std::int64_t parts = (c.rows + kPart - 1) / kPart;
      const at::Tensor dweight = empty_there(machine, {parts, c.size}, at::kFloat);
      const at::Tensor dbias = empty_there(machine, {parts, c.size}, at::kFloat);
      const cpu::NormGradientParams params{.type = element(type),
                                           .centered = centered,
                                           .x = x_there.data_ptr(),
                                           .dy = dy_there.data_ptr(),
                                           .weight = w.data_ptr(),
                                           .dx = dx.data_ptr(),
                                           .dweight = dweight.data_ptr<float>(),
                                           .dbias = centered ? dbias.data_ptr<float>() : nullptr,
                                           .rows = c.rows,
                                           .size = c.size,
                                           .x_stride = c.heads * c.size,
                                           .dy_stride = c.heads * c.size,
                                           .dx_stride = c.heads * c.size,
                                           .heads = c.heads,
                                           .x_head_stride = c.size,
                                           .dy_head_stride = c.size,
                                           .dx_head_stride = c.size,
                                           .unit_offset = c.unit_offset,
                                           .round_once = c.round_once};
      const ops::DeviceKernels kernels(machine.device);
      checked.launched(name_of(c, type), kernels.launch(&cuda::KernelTable::norm_gradient, params, kPart));
      for (const at::ScalarType to : {at::kDouble, at::kFloat}) {
        const std::vector<at::Tensor> expected = gradients(machine, x, weight, dy, c, centered, to);
        const std::string name = name_of(c, type) + (to == at::kDouble ? ", float64" : ", float32");
        checked.tensor(name + " dx", dx, allowed(type, 1.25), expected[0]);
        // The weight met numbers that had been rounded.
        checked.tensor(name + " dweight", wide(machine, dweight, at::kDouble).sum(0), allowed(type, 2), expected[1]);
        if (centered) checked.tensor(name + " dbias", wide(machine, dbias, at::kDouble).sum(0), 1e-5, expected[2]);
      }
    }
  }
}

}  // namespace

void check_norms(Report& report, const Machine& machine) {
  check_rms(report, machine);
  check_layer(report, machine);
  check_gradient(report, machine, false);
  check_gradient(report, machine, true);
}

}  // namespace powerhouse::gpu_check
