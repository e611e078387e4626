// The optimizers' update: the definition, in float64, of states that are numbers or codes.
#pragma once

#include <cmath>

#include "kernels/cpu/kernels.h"

namespace powerhouse::reference {

struct UpdateNumbers {
  double w = 0, a = 0, b = 0;
};

/// One element; `g` is the scaled gradient.
static inline UpdateNumbers update_element(const cpu::UpdateParams& p, double g, UpdateNumbers x) {
  g += p.l2 * x.w;
  x.w *= p.decay;
  switch (p.rule) {
    case cpu::UpdateRule::sgd:
      if (p.a.data == nullptr) {
        x.w -= p.lr * g;
      } else {
        x.a = p.first ? g : p.beta1 * x.a + p.one_minus_beta1 * g;
        x.w -= p.lr * (p.nesterov ? g + p.beta1 * x.a : x.a);
      }
      break;
    case cpu::UpdateRule::adamw:
      x.a += p.one_minus_beta1 * (g - x.a);
      x.b = p.beta2 * x.b + p.one_minus_beta2 * g * g;
      x.w -= p.lr * x.a / (std::sqrt(x.b) / p.correction + p.eps);
      break;
    case cpu::UpdateRule::lion: {
      const double direction = p.beta1 * x.a + p.one_minus_beta1 * g;
      x.w -= p.lr * (direction > 0 ? 1 : direction < 0 ? -1 : 0);
      x.a = p.beta2 * x.a + p.one_minus_beta2 * g;
      break;
    }
    case cpu::UpdateRule::adagrad:
      x.a += g * g;
      x.w -= p.lr * g / (std::sqrt(x.a) + p.eps);
      break;
    case cpu::UpdateRule::rmsprop: {
      x.a = p.beta2 * x.a + p.one_minus_beta2 * g * g;
      const double step = g / (std::sqrt(x.a) + p.eps);
      if (p.b.data != nullptr) x.b = p.beta1 * x.b + step;
      x.w -= p.lr * (p.b.data != nullptr ? x.b : step);
      break;
    }
  }
  return x;
}

static inline double read_state(const cpu::UpdateState& state, std::int64_t i) {
  if (state.data == nullptr) return 0;
  if (state.codes == nullptr) return static_cast<double>(read_element(state.data, state.type, i));
  const float value = state.codes->values[static_cast<const std::uint8_t*>(state.data)[i]];
  return static_cast<double>(value * state.absmax[i / cpu::kStateBlock]);
}

/// `values` are what the state becomes, of one block of `count` elements from `begin` on.
static inline void write_state(const cpu::UpdateState& state, const double* values, std::int64_t begin,
                               std::int64_t count) {
  if (state.data == nullptr) return;
  if (state.codes == nullptr) {
    for (std::int64_t i = 0; i < count; ++i) {
      write_element(state.data, state.type, begin + i, static_cast<float>(values[i]));
    }
    return;
  }
  double largest = 0;
  for (std::int64_t i = 0; i < count; ++i) largest = std::fmax(largest, std::fabs(values[i]));
  state.absmax[begin / cpu::kStateBlock] = static_cast<float>(largest);
  for (std::int64_t i = 0; i < count; ++i) {
    const double value = largest == 0 ? 0 : values[i] / largest;
    int code = 0;
    while (code < 255 && static_cast<double>(state.codes->bounds[code]) < value) ++code;
    static_cast<std::uint8_t*>(state.data)[begin + i] = static_cast<std::uint8_t>(code);
  }
}

static inline void optimizer_update(const cpu::UpdateParams& p, std::int64_t begin, std::int64_t end) {
  for (std::int64_t block = begin; block < end; block += cpu::kStateBlock) {
    const std::int64_t count = end - block < cpu::kStateBlock ? end - block : cpu::kStateBlock;
    double a[cpu::kStateBlock];
    double b[cpu::kStateBlock];
    for (std::int64_t k = 0; k < count; ++k) {
      const std::int64_t i = block + k;
      const double g = static_cast<double>(p.grad_scale) * static_cast<double>(read_element(p.gradient, p.type, i));
      const float w = p.master != nullptr ? p.master[i] : read_element(p.parameter, p.type, i);
      const UpdateNumbers x = update_element(p, g, {static_cast<double>(w), read_state(p.a, i), read_state(p.b, i)});
      if (p.master != nullptr) p.master[i] = static_cast<float>(x.w);
      if (p.parameter != nullptr) write_element(p.parameter, p.type, i, static_cast<float>(x.w));
      a[k] = x.a;
      b[k] = x.b;
    }
    write_state(p.a, a, block, count);
    write_state(p.b, b, block, count);
  }
}

static inline double sum_squares(const void* x, Element type, std::int64_t begin, std::int64_t end) {
  double sum = 0;
  for (std::int64_t i = begin; i < end; ++i) {
    const auto value = static_cast<double>(read_element(x, type, i));
    sum += value * value;
  }
  return sum;
}

}  // namespace powerhouse::reference
