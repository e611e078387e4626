// Gradients of activations: the definitions, in float64.
#pragma once

#include <cmath>

#include "kernels/reference/activation.h"

namespace powerhouse::reference {

static inline double activation_slope(cpu::ActivationKind kind, double x) {
  const auto sigmoid = [](double u) { return 1 / (1 + std::exp(-u)); };
  // of x sigmoid(u), where u has the slope du
  const auto gated = [&](double u, double du) { return sigmoid(u) * (1 + x * (1 - sigmoid(u)) * du); };
  constexpr double kPi = 3.14159265358979323846;
  switch (kind) {
    case cpu::ActivationKind::silu: return gated(x, 1);
    case cpu::ActivationKind::gelu_tanh: {
      const double scale = 2 * std::sqrt(2 / kPi);
      return gated(scale * (x + 0.044715 * x * x * x), scale * (1 + 3 * 0.044715 * x * x));
    }
    case cpu::ActivationKind::gelu:
      return 0.5 * std::erfc(-x / std::sqrt(2.0)) + x * std::exp(-x * x / 2) / std::sqrt(2 * kPi);
    case cpu::ActivationKind::relu: return x > 0 ? 1 : 0;
    case cpu::ActivationKind::quick_gelu: return gated(1.702 * x, 1.702);
    case cpu::ActivationKind::relu2: return x > 0 ? 2 * x : 0;
    case cpu::ActivationKind::sigmoid: return sigmoid(x) * (1 - sigmoid(x));
    case cpu::ActivationKind::tanh: return 1 - std::tanh(x) * std::tanh(x);
  }
  return 1;
}

static inline void activation_gradient(const cpu::ActivationGradientParams& params, std::int64_t begin,
                                       std::int64_t end) {
  for (std::int64_t item = begin; item < end; ++item) {
    const std::int64_t row = item / params.columns;
    const std::int64_t column = item % params.columns;
    const auto read = [&](const void* data, std::int64_t stride) {
      return static_cast<double>(read_element(data, params.type, row * stride + column));
    };
    const double gate = read(params.gate, params.gate_stride);
    const double dy = read(params.dy, params.dy_stride);
    if (params.dup != nullptr) {
      write_element(params.dup, params.type, row * params.dup_stride + column,
                    static_cast<float>(dy * activate(params.kind, gate)));
    }
    double slope = activation_slope(params.kind, gate);
    if (params.up != nullptr) slope *= read(params.up, params.up_stride);
    write_element(params.dgate, params.type, row * params.dgate_stride + column, static_cast<float>(dy * slope));
  }
}

}  // namespace powerhouse::reference
