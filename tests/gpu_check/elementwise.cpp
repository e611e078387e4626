// RoPE and gated activations with their gradients.
#include "gpu_check/checks.h"

namespace powerhouse::gpu_check {

namespace {

using cpu::ActivationKind;

struct RopeCase {
  std::int64_t tokens, heads, head_dim, rotary_dim;
  bool interleaved, inverse;
};
constexpr RopeCase kRopes[] = {{33, 9, 64, 64, false, false},
                               {7, 4, 128, 128, true, false},
                               {16, 3, 80, 32, false, true},
                               {5, 1, 96, 64, true, true},
                               {200, 8, 128, 128, false, false}};

at::Tensor turned(const at::Tensor& x, const at::Tensor& cosines, const at::Tensor& sines, const RopeCase& c) {
  const at::Tensor rotary = x.slice(2, 0, c.rotary_dim), rest = x.slice(2, c.rotary_dim);
  const std::int64_t half = c.rotary_dim / 2;
  const at::Tensor a = c.interleaved ? rotary.slice(2, 0, c.rotary_dim, 2) : rotary.slice(2, 0, half);
  const at::Tensor b = c.interleaved ? rotary.slice(2, 1, c.rotary_dim, 2) : rotary.slice(2, half);
  const at::Tensor cos = cosines.unsqueeze(1), sin = c.inverse ? sines.neg().unsqueeze(1) : sines.unsqueeze(1);
  const at::Tensor first = a.mul(cos).sub(b.mul(sin)), second = b.mul(cos).add(a.mul(sin));
  const at::Tensor both = c.interleaved ? at::stack({first, second}, 3).flatten(2) : at::cat({first, second}, 2);
  return at::cat({both, rest}, 2);
}

void check_rope(Report& report, const Machine& machine) {
  Checked checked(report, machine, "rope");
  for (const at::ScalarType type : kTypes) {
    for (const RopeCase& c : kRopes) {
      const std::string name = std::string(at::toString(type)) + " head " + std::to_string(c.head_dim) +
                               (c.interleaved ? " interleaved" : " half") + (c.inverse ? " inverse" : "");
      const at::Tensor x = noise({c.tokens, c.heads, c.head_dim}, type, 1);
      const at::Tensor angles = noise({300, c.rotary_dim / 2}, at::kFloat, 2, 3.0);
      const at::Tensor cos = angles.cos(), sin = angles.sin(), positions = whole_numbers(c.tokens, 300, 3);
      const at::Tensor data = there(machine, x).clone(), cos_there = there(machine, cos),
                       sin_there = there(machine, sin);
      const at::Tensor positions_there = there(machine, positions);
      const cpu::RopeParams params{.type = element(type),
                                   .data = data.data_ptr(),
                                   .cos = cos_there.data_ptr<float>(),
                                   .sin = sin_there.data_ptr<float>(),
                                   .positions = positions_there.data_ptr<std::int64_t>(),
                                   .heads = c.heads,
                                   .rotary_dim = c.rotary_dim,
                                   .token_stride = c.heads * c.head_dim,
                                   .head_stride = c.head_dim,
                                   .table_stride = c.rotary_dim / 2,
                                   .interleaved = c.interleaved,
                                   .inverse = c.inverse,
                                   .head_dim = c.head_dim};
      const ops::DeviceKernels kernels(machine.device);
      checked.launched(name, kernels.launch(&cuda::KernelTable::rope, params, c.tokens));
      checked.tensor(name, data, allowed(type, 1.25), [&](at::ScalarType to) {
        return turned(wide(machine, x, to), wide(machine, cos.index_select(0, positions), to),
                      wide(machine, sin.index_select(0, positions), to), c);
      });
    }
  }
}

at::Tensor activated(ActivationKind kind, const at::Tensor& x) {
  switch (kind) {
    case ActivationKind::silu: return at::silu(x);
    case ActivationKind::gelu_tanh: return at::gelu(x, "tanh");
    case ActivationKind::gelu: return at::gelu(x);
    case ActivationKind::relu: return at::relu(x);
    case ActivationKind::quick_gelu: return x.mul(x.mul(1.702).sigmoid());
    case ActivationKind::relu2: return at::relu(x).square();
    case ActivationKind::sigmoid: return x.sigmoid();
    case ActivationKind::tanh: return x.tanh();
  }
  return x;
}

struct Activated {
  at::Tensor y, dgate, dup;
};
Activated expected_of(const Machine& machine, ActivationKind kind, const at::Tensor& gate, const at::Tensor& up,
                      const at::Tensor& dy, at::ScalarType to) {
  const at::Tensor g = wide(machine, gate, to).detach().clone().set_requires_grad(true);
  const at::Tensor u = up.defined() ? wide(machine, up, to).detach().clone().set_requires_grad(true) : at::Tensor();
  const at::Tensor y = up.defined() ? activated(kind, g).mul(u) : activated(kind, g);
  y.backward(wide(machine, dy, to));
  return {y.detach(), g.grad(), up.defined() ? u.grad() : at::Tensor()};
}

void check_activation(Report& report, const Machine& machine) {
  Checked forward(report, machine, "activation"), backward(report, machine, "activation gradient");
  constexpr std::int64_t kShapes[][2] = {{5, 1536}, {3, 333}, {64, 8}};
  for (const at::ScalarType type : kTypes) {
    for (int kind_number = 0; kind_number <= static_cast<int>(ActivationKind::tanh); ++kind_number) {
      const auto kind = static_cast<ActivationKind>(kind_number);
      for (const auto& [rows, columns] : kShapes) {
        for (const bool gated : {true, false}) {
          const std::string name = std::string(at::toString(type)) + " kind " + std::to_string(kind_number) + " [" +
                                   std::to_string(rows) + ", " + std::to_string(columns) + "]" +
                                   (gated ? " gated" : "");
          const at::Tensor gate = noise({rows, columns}, type, 1), dy = noise({rows, columns}, type, 2);
          const at::Tensor up = gated ? noise({rows, columns}, type, 3) : at::Tensor();
          const at::Tensor g = there(machine, gate), d = there(machine, dy);
          const at::Tensor u = gated ? there(machine, up) : at::Tensor();
          const at::Tensor y = at::empty_like(g), dgate = at::empty_like(g), dup = at::empty_like(g);
          const void* const up_data = gated ? u.data_ptr() : nullptr;
          const cpu::ActivationParams params{.type = element(type),
                                             .kind = kind,
                                             .gate = g.data_ptr(),
                                             .up = up_data,
                                             .y = y.data_ptr(),
                                             .columns = columns,
                                             .gate_stride = columns,
                                             .up_stride = columns,
                                             .y_stride = columns};
          const cpu::ActivationGradientParams gradient{.type = element(type),
                                                       .kind = kind,
                                                       .gate = g.data_ptr(),
                                                       .up = up_data,
                                                       .dy = d.data_ptr(),
                                                       .dgate = dgate.data_ptr(),
                                                       .dup = gated ? dup.data_ptr() : nullptr,
                                                       .columns = columns,
                                                       .gate_stride = columns,
                                                       .up_stride = columns,
                                                       .dy_stride = columns,
                                                       .dgate_stride = columns,
                                                       .dup_stride = columns};
          const ops::DeviceKernels kernels(machine.device);
          forward.launched(name, kernels.launch(&cuda::KernelTable::activation_mul, params, rows));
          backward.launched(name, kernels.launch(&cuda::KernelTable::activation_gradient, gradient, rows));
          for (const at::ScalarType to : {at::kDouble, at::kFloat}) {
            const Activated expected = expected_of(machine, kind, gate, up, dy, to);
            const std::string at_width = name + (to == at::kDouble ? ", float64" : ", float32");
            forward.tensor(at_width, y, allowed(type, 1.25), expected.y);
            backward.tensor(at_width + " dgate", dgate, allowed(type, 1.25), expected.dgate);
            if (gated) backward.tensor(at_width + " dup", dup, allowed(type, 1.25), expected.dup);
          }
        }
      }
    }
  }
}

}  // namespace

void check_elementwise(Report& report, const Machine& machine) {
  check_rope(report, machine);
  check_activation(report, machine);
}

}  // namespace powerhouse::gpu_check
