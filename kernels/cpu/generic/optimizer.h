// One step of an optimizer over a run of elements, and the sum of squares that clipping needs.
//
// What a rule touches is widened to a tile of float32 in the first-level cache, updated there, and narrowed: one rule
// serves every mixture of element types, and memory, which is what a step waits for, is read and written once.
#pragma once

#include <cstdint>

#include "kernels/common/float16.h"
#include "kernels/cpu/generic/math.h"
#include "kernels/cpu/kernels.h"

namespace powerhouse::cpu::POWERHOUSE_ISA_NAMESPACE {
namespace {

struct alignas(64) UpdateTile {
  float g[kStateBlock];
  float w[kStateBlock];
  float a[kStateBlock];
  float b[kStateBlock];
};

inline void load_tile(const void* from, Element type, std::int64_t begin, float* to, std::int64_t count) {
  visit(type, [&](auto tag) { widen(static_cast<const typename decltype(tag)::Type*>(from) + begin, to, count); });
}

inline void store_tile(const float* from, void* to, Element type, std::int64_t begin, std::int64_t count) {
  visit(type, [&](auto tag) {
    auto* const out = static_cast<typename decltype(tag)::Type*>(to) + begin;
    std::int64_t i = 0;
    for (; i + kWidth <= count; i += kWidth) store(out + i, load(from + i));
    if (i < count) store_first(out + i, load(from + i), static_cast<int>(count - i));
  });
}

inline void load_state(const UpdateState& state, std::int64_t begin, float* to, std::int64_t count) {
  if (state.data == nullptr) return;
  if (state.codes == nullptr) return load_tile(state.data, state.type, begin, to, count);
  const auto* const codes = static_cast<const std::uint8_t*>(state.data) + begin;
  const float scale = state.absmax[begin / kStateBlock];
  for (std::int64_t i = 0; i < count; ++i) to[i] = state.codes->values[codes[i]] * scale;
  for (std::int64_t i = count; i < kStateBlock; ++i) to[i] = 0;
}

inline void store_codes(const UpdateState& state, std::int64_t begin, float* from, std::int64_t count) {
  for (std::int64_t i = count; i < kStateBlock; ++i) from[i] = 0;
  Vec largest = zero();
  for (std::int64_t i = 0; i < kStateBlock; i += kWidth) largest = max(largest, absolute(load(from + i)));
  const float absmax = reduce_max(largest);
  state.absmax[begin / kStateBlock] = absmax;
  // 1e-38 as bitsandbytes has it: a block of zeros stays one.
  const Vec inverse = broadcast(1.0f / (absmax > 1e-38f ? absmax : 1e-38f));
  for (std::int64_t i = 0; i < kStateBlock; i += kWidth) store(from + i, mul(load(from + i), inverse));
  auto* const codes = static_cast<std::uint8_t*>(state.data) + begin;
  for (std::int64_t i = 0; i < count; ++i) {
    const std::uint8_t code = state.codes->first[float_bits(from[i]) >> 16];
    codes[i] = static_cast<std::uint8_t>(code + (state.codes->bounds[code] < from[i] ? 1 : 0));
  }
}

inline void store_state(const UpdateState& state, std::int64_t begin, float* from, std::int64_t count) {
  if (state.data == nullptr) return;
  if (state.codes != nullptr) return store_codes(state, begin, from, count);
  store_tile(from, state.data, state.type, begin, count);
}

/// Each rule takes a vector of g, w, a and b, and changes the last three.
template <typename Rule>
inline void update_tile(const UpdateParams& p, UpdateTile& tile, std::int64_t count, Rule rule) {
  const Vec scale = broadcast(p.grad_scale);
  const Vec l2 = broadcast(p.l2);
  const Vec decay = broadcast(p.decay);
  for (std::int64_t i = 0; i < count; i += kWidth) {
    const Vec old = load(tile.w + i);
    Vec w = mul(old, decay);
    Vec a = load(tile.a + i);
    Vec b = load(tile.b + i);
    rule(fma(l2, old, mul(load(tile.g + i), scale)), w, a, b);
    store(tile.w + i, w);
    store(tile.a + i, a);
    store(tile.b + i, b);
  }
}

inline void sgd_tile(const UpdateParams& p, UpdateTile& tile, std::int64_t count) {
  const Vec lr = broadcast(-p.lr), momentum = broadcast(p.beta1), fresh = broadcast(p.one_minus_beta1);
  const bool plain = p.a.data == nullptr;
  update_tile(p, tile, count, [&](Vec g, Vec& w, Vec& a, Vec&) {
    if (!plain) a = p.first ? g : fma(fresh, g, mul(momentum, a));
    w = fma(lr, plain ? g : p.nesterov ? fma(momentum, a, g) : a, w);
  });
}

inline void adamw_tile(const UpdateParams& p, UpdateTile& tile, std::int64_t count) {
  const Vec step = broadcast(-p.lr), eps = broadcast(p.eps), correction = broadcast(p.correction);
  const Vec beta1 = broadcast(p.beta1), fresh1 = broadcast(p.one_minus_beta1);
  const Vec beta2 = broadcast(p.beta2), fresh2 = broadcast(p.one_minus_beta2);
  const bool coded = p.a.codes != nullptr;  // torch and bitsandbytes round the first moment differently
  update_tile(p, tile, count, [&](Vec g, Vec& w, Vec& a, Vec& b) {
    a = coded ? fma(fresh1, g, mul(beta1, a)) : fma(fresh1, sub(g, a), a);
    b = fma(mul(fresh2, g), g, mul(beta2, b));
    w = add(w, div(mul(step, a), add(div(square_root(b), correction), eps)));
  });
}

inline void lion_tile(const UpdateParams& p, UpdateTile& tile, std::int64_t count) {
  const Vec up = broadcast(p.lr), down = broadcast(-p.lr);
  const Vec beta1 = broadcast(p.beta1), fresh1 = broadcast(p.one_minus_beta1);
  const Vec beta2 = broadcast(p.beta2), fresh2 = broadcast(p.one_minus_beta2);
  update_tile(p, tile, count, [&](Vec g, Vec& w, Vec& a, Vec&) {
    const Vec direction = fma(fresh1, g, mul(beta1, a));
    w = add(w, select_less(zero(), direction, down, select_less(direction, zero(), up, zero())));
    a = fma(fresh2, g, mul(beta2, a));
  });
}

inline void adagrad_tile(const UpdateParams& p, UpdateTile& tile, std::int64_t count) {
  const Vec lr = broadcast(-p.lr), eps = broadcast(p.eps);
  update_tile(p, tile, count, [&](Vec g, Vec& w, Vec& a, Vec&) {
    a = fma(g, g, a);
    w = add(w, div(mul(lr, g), add(square_root(a), eps)));
  });
}

inline void rmsprop_tile(const UpdateParams& p, UpdateTile& tile, std::int64_t count) {
  const Vec lr = broadcast(-p.lr), eps = broadcast(p.eps), momentum = broadcast(p.beta1);
  const Vec beta2 = broadcast(p.beta2), fresh2 = broadcast(p.one_minus_beta2);
  const bool plain = p.b.data == nullptr;
  update_tile(p, tile, count, [&](Vec g, Vec& w, Vec& a, Vec& b) {
    a = fma(mul(fresh2, g), g, mul(beta2, a));
    const Vec root = add(square_root(a), eps);
    if (plain) {
      w = add(w, div(mul(lr, g), root));
    } else {
      b = add(mul(momentum, b), div(g, root));
      w = fma(lr, b, w);
    }
  });
}

void optimizer_update(const UpdateParams& params, std::int64_t begin, std::int64_t end) {
  UpdateTile tile{};
  for (std::int64_t i = begin; i < end; i += kStateBlock) {
    const std::int64_t count = smaller(end - i, kStateBlock);
    load_tile(params.gradient, params.type, i, tile.g, count);
    if (params.master != nullptr) {
      widen(params.master + i, tile.w, count);
    } else {
      load_tile(params.parameter, params.type, i, tile.w, count);
    }
    load_state(params.a, i, tile.a, count);
    load_state(params.b, i, tile.b, count);
    switch (params.rule) {
      case UpdateRule::sgd: sgd_tile(params, tile, count); break;
      case UpdateRule::adamw: adamw_tile(params, tile, count); break;
      case UpdateRule::lion: lion_tile(params, tile, count); break;
      case UpdateRule::adagrad: adagrad_tile(params, tile, count); break;
      case UpdateRule::rmsprop: rmsprop_tile(params, tile, count); break;
    }
    if (params.master != nullptr) store_tile(tile.w, params.master, Element::f32, i, count);
    if (params.parameter != nullptr) store_tile(tile.w, params.parameter, params.type, i, count);
    store_state(params.a, i, tile.a, count);
    store_state(params.b, i, tile.b, count);
  }
}

double sum_squares(const void* x, Element type, std::int64_t begin, std::int64_t end) {
  double total = 0;
  visit(type, [&](auto tag) {
    const auto* const values = static_cast<const typename decltype(tag)::Type*>(x);
    constexpr std::int64_t kRun = 64 * kWidth;  // so few terms a lane that float32 loses nothing that matters
    for (std::int64_t run = begin; run < end; run += kRun) {
      const std::int64_t stop = smaller(end, run + kRun);
      Vec sum[4] = {zero(), zero(), zero(), zero()};
      int turn = 0;
      for (std::int64_t i = run; i < stop; i += kWidth, turn = (turn + 1) % 4) {
        const Vec value = read(values + i, lanes(stop, i));
        sum[turn] = fma(value, value, sum[turn]);
      }
      total += static_cast<double>(reduce_add(add(add(sum[0], sum[1]), add(sum[2], sum[3]))));
    }
  });
  return total;
}

}  // namespace
}  // namespace powerhouse::cpu::POWERHOUSE_ISA_NAMESPACE
