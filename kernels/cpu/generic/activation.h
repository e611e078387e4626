// Activations, gated (SwiGLU, GeGLU) or alone; float32 inside, one rounding.
//
// gelu_tanh is written as x * sigmoid(2u), the same function as x (1 + tanh u) / 2 without its cancellation below zero.
#pragma once

#include <cstdint>

#include "kernels/cpu/generic/math.h"
#include "kernels/cpu/kernels.h"

namespace powerhouse::cpu::POWERHOUSE_ISA_NAMESPACE {
namespace {

/// x / (1 + e^-u)
inline Vec times_sigmoid(Vec x, Vec u) { return div(x, add(broadcast(1.0f), exp(sub(zero(), u)))); }

/// Calls op(function) with the function of a kind.
template <typename Op>
inline void visit(ActivationKind kind, Op op) {
  switch (kind) {
    case ActivationKind::silu: return op([](Vec x) { return times_sigmoid(x, x); });
    case ActivationKind::gelu_tanh:
      return op([](Vec x) {
        const Vec cubic = fma(mul(x, x), broadcast(0.044715f), broadcast(1.0f));
        return times_sigmoid(x, mul(mul(x, broadcast(1.59576912f)), cubic));  // 2 sqrt(2 / pi)
      });
    case ActivationKind::gelu: return op([](Vec x) { return mul(x, normal_distribution(x)); });
    case ActivationKind::relu: return op([](Vec x) { return max(zero(), x); });
    case ActivationKind::quick_gelu: return op([](Vec x) { return times_sigmoid(x, mul(x, broadcast(1.702f))); });
    case ActivationKind::relu2: return op([](Vec x) { return mul(max(zero(), x), max(zero(), x)); });
    case ActivationKind::sigmoid: return op([](Vec x) { return times_sigmoid(broadcast(1.0f), x); });
    case ActivationKind::tanh: return op([](Vec x) { return tanh(x); });
  }
}

template <typename T, typename Function>
inline void activate_row(Function function, const T* gate, const T* up, T* y, std::int64_t size) {
  for (std::int64_t i = 0; i < size; i += kWidth) {
    const int count = lanes(size, i);
    Vec value = function(read(gate + i, count));
    if (up != nullptr) value = mul(value, read(up + i, count));
    write(y + i, value, count);
  }
}

void activation_mul(const ActivationParams& params, std::int64_t begin, std::int64_t end) {
  visit(params.type, [&](auto tag) {
    using T = typename decltype(tag)::Type;
    for (std::int64_t item = begin; item < end;) {
      const std::int64_t row = item / params.columns;
      const std::int64_t column = item % params.columns;
      const std::int64_t size = smaller(end - item, params.columns - column);
      const T* const up =
          params.up == nullptr ? nullptr : static_cast<const T*>(params.up) + row * params.up_stride + column;
      visit(params.kind, [&](auto function) {
        activate_row(function, static_cast<const T*>(params.gate) + row * params.gate_stride + column, up,
                     static_cast<T*>(params.y) + row * params.y_stride + column, size);
      });
      item += size;
    }
  });
}

}  // namespace
}  // namespace powerhouse::cpu::POWERHOUSE_ISA_NAMESPACE
