// Activations: the definitions, in float64.
#pragma once

#include <cmath>

#include "kernels/cpu/kernels.h"

namespace powerhouse::reference {

static inline double activate(cpu::ActivationKind kind, double x) {
  switch (kind) {
    case cpu::ActivationKind::silu: return x / (1.0 + std::exp(-x));
    case cpu::ActivationKind::gelu_tanh: {
      const double u = std::sqrt(2.0 / 3.14159265358979323846) * (x + 0.044715 * x * x * x);
      return 0.5 * x * (1.0 + std::tanh(u));
    }
    case cpu::ActivationKind::gelu: return 0.5 * x * std::erfc(-x / std::sqrt(2.0));
    case cpu::ActivationKind::relu: return x < 0 ? 0 : x;
    case cpu::ActivationKind::quick_gelu: return x / (1.0 + std::exp(-1.702 * x));
    case cpu::ActivationKind::relu2: return x < 0 ? 0 : x * x;
    case cpu::ActivationKind::sigmoid: return 1.0 / (1.0 + std::exp(-x));
    case cpu::ActivationKind::tanh: return std::tanh(x);
  }
  return x;
}

static inline void activation_mul(const cpu::ActivationParams& params, std::int64_t begin, std::int64_t end) {
  for (std::int64_t item = begin; item < end; ++item) {
    const std::int64_t row = item / params.columns;
    const std::int64_t column = item % params.columns;
    double value = activate(
        params.kind, static_cast<double>(read_element(params.gate, params.type, row * params.gate_stride + column)));
    if (params.up != nullptr) {
      value *= static_cast<double>(read_element(params.up, params.type, row * params.up_stride + column));
    }
    write_element(params.y, params.type, row * params.y_stride + column, static_cast<float>(value));
  }
}

}  // namespace powerhouse::reference
