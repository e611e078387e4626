// Gradients of activations, gated or alone; float32 inside, one rounding.
//
// Each kind gives its value and its slope from one exp. With s a sigmoid of t(x), x s has the slope s + x s (1 - s) t'.
#pragma once

#include <cstdint>

#include "kernels/cpu/generic/activation.h"
#include "kernels/cpu/generic/math.h"
#include "kernels/cpu/kernels.h"

namespace powerhouse::cpu::POWERHOUSE_ISA_NAMESPACE {
namespace {

struct ValueAndSlope {
  Vec value, slope;
};

inline Vec one_minus(Vec x) { return sub(broadcast(1.0f), x); }

/// x s with s = sigmoid(u), where u has the slope du.
inline ValueAndSlope gated_by_sigmoid(Vec x, Vec u, Vec du) {
  const Vec s = times_sigmoid(broadcast(1.0f), u);
  const Vec value = mul(x, s);
  return {value, fma(mul(value, one_minus(s)), du, s)};
}

/// Calls op(function) with the function of a kind.
template <typename Op>
inline void visit_slopes(ActivationKind kind, Op op) {
  switch (kind) {
    case ActivationKind::silu: return op([](Vec x) { return gated_by_sigmoid(x, x, broadcast(1.0f)); });
    case ActivationKind::gelu_tanh:
      return op([](Vec x) {
        const Vec scale = broadcast(1.59576912f);  // 2 sqrt(2 / pi)
        const Vec square = mul(x, x);
        const Vec u = mul(mul(x, scale), fma(square, broadcast(0.044715f), broadcast(1.0f)));
        return gated_by_sigmoid(x, u, mul(scale, fma(square, broadcast(0.134145f), broadcast(1.0f))));
      });
    case ActivationKind::gelu:
      return op([](Vec x) {
        const Vec below = normal_distribution(x);
        const Vec density = mul(broadcast(0.39894228f), exp(mul(mul(x, x), broadcast(-0.5f))));
        return ValueAndSlope{mul(x, below), fma(x, density, below)};
      });
    case ActivationKind::relu:
      return op([](Vec x) { return ValueAndSlope{max(zero(), x), select_less(zero(), x, broadcast(1.0f), zero())}; });
    case ActivationKind::quick_gelu:
      return op([](Vec x) { return gated_by_sigmoid(x, mul(x, broadcast(1.702f)), broadcast(1.702f)); });
    case ActivationKind::relu2:
      return op([](Vec x) {
        const Vec positive = max(zero(), x);
        return ValueAndSlope{mul(positive, positive), add(positive, positive)};
      });
    case ActivationKind::sigmoid:
      return op([](Vec x) {
        const Vec s = times_sigmoid(broadcast(1.0f), x);
        return ValueAndSlope{s, mul(s, one_minus(s))};
      });
    case ActivationKind::tanh:
      return op([](Vec x) {
        const Vec t = tanh(x);
        return ValueAndSlope{t, one_minus(mul(t, t))};
      });
  }
}

/// Pointers to one row; `up` and `dup` may be null.
template <typename T>
struct ActivationRow {
  const T* gate;
  const T* up;
  const T* dy;
  T* dgate;
  T* dup;
};

template <typename T, typename Function>
inline void activation_gradient_row(Function function, const ActivationRow<T>& row, std::int64_t size) {
  for (std::int64_t i = 0; i < size; i += kWidth) {
    const int count = lanes(size, i);
    const ValueAndSlope at = function(read(row.gate + i, count));
    const Vec dy = read(row.dy + i, count);
    if (row.dup != nullptr) write(row.dup + i, mul(dy, at.value), count);
    Vec slope = at.slope;
    if (row.up != nullptr) slope = mul(slope, read(row.up + i, count));
    write(row.dgate + i, mul(dy, slope), count);
  }
}

void activation_gradient(const ActivationGradientParams& params, std::int64_t begin, std::int64_t end) {
  visit(params.type, [&](auto tag) {
    using T = typename decltype(tag)::Type;
    for (std::int64_t item = begin; item < end;) {
      const std::int64_t row = item / params.columns;
      const std::int64_t column = item % params.columns;
      const std::int64_t size = smaller(end - item, params.columns - column);
      const auto at = [&](const void* data, std::int64_t stride) {
        return data == nullptr ? nullptr : static_cast<const T*>(data) + row * stride + column;
      };
      const auto out = [&](void* data, std::int64_t stride) {
        return data == nullptr ? nullptr : static_cast<T*>(data) + row * stride + column;
      };
      const ActivationRow<T> pointers{at(params.gate, params.gate_stride), at(params.up, params.up_stride),
                                      at(params.dy, params.dy_stride), out(params.dgate, params.dgate_stride),
                                      out(params.dup, params.dup_stride)};
      visit_slopes(params.kind, [&](auto function) { activation_gradient_row(function, pointers, size); });
      item += size;
    }
  });
}

}  // namespace
}  // namespace powerhouse::cpu::POWERHOUSE_ISA_NAMESPACE
