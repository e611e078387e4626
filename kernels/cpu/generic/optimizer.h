// One step of an optimizer over a run of elements, and the sum of squares that clipping needs.
//
// Memory is what a step waits for: every stream is read and written once, a vector at a time, widened to float32 in
// registers and rounded once where it is stored, and asked for some KiB ahead. A rule is a small object that changes
// the vectors of weights and states. States of codes go through tiles of float32, a block each.
#pragma once

#include <cstdint>

#include "kernels/common/float16.h"
#include "kernels/cpu/generic/math.h"
#include "kernels/cpu/generic/state_codes.h"
#include "kernels/cpu/kernels.h"

namespace powerhouse::cpu::POWERHOUSE_ISA_NAMESPACE {
namespace {

/// Each rule takes a vector of g, w, a and b, and changes the last three.
struct SgdRule {
  Vec lr, momentum, fresh;
  bool plain, first, nesterov;
  explicit SgdRule(const UpdateParams& p)
      : lr(broadcast(-p.lr)),
        momentum(broadcast(p.beta1)),
        fresh(broadcast(p.one_minus_beta1)),
        plain(p.a.data == nullptr),
        first(p.first),
        nesterov(p.nesterov) {}
  void operator()(Vec g, Vec& w, Vec& a, Vec&) const {
    if (!plain) a = first ? g : fma(fresh, g, mul(momentum, a));
    w = fma(lr, plain ? g : nesterov ? fma(momentum, a, g) : a, w);
  }
};

struct AdamwRule {
  Vec step, eps, correction, beta1, fresh1, beta2, fresh2;
  bool coded;  // torch and bitsandbytes round the first moment differently
  explicit AdamwRule(const UpdateParams& p)
      : step(broadcast(-p.lr)),
        eps(broadcast(p.eps)),
        correction(broadcast(1.0f / p.correction)),
        beta1(broadcast(p.beta1)),
        fresh1(broadcast(p.one_minus_beta1)),
        beta2(broadcast(p.beta2)),
        fresh2(broadcast(p.one_minus_beta2)),
        coded(p.a.codes != nullptr) {}
  void operator()(Vec g, Vec& w, Vec& a, Vec& b) const {
    a = coded ? fma(fresh1, g, mul(beta1, a)) : fma(fresh1, sub(g, a), a);
    b = fma(mul(fresh2, g), g, mul(beta2, b));
    w = add(w, div(mul(step, a), fma(square_root(b), correction, eps)));
  }
};

struct LionRule {
  Vec up, down, beta1, fresh1, beta2, fresh2;
  explicit LionRule(const UpdateParams& p)
      : up(broadcast(p.lr)),
        down(broadcast(-p.lr)),
        beta1(broadcast(p.beta1)),
        fresh1(broadcast(p.one_minus_beta1)),
        beta2(broadcast(p.beta2)),
        fresh2(broadcast(p.one_minus_beta2)) {}
  void operator()(Vec g, Vec& w, Vec& a, Vec&) const {
    const Vec direction = fma(fresh1, g, mul(beta1, a));
    w = add(w, select_less(zero(), direction, down, select_less(direction, zero(), up, zero())));
    a = fma(fresh2, g, mul(beta2, a));
  }
};

struct AdagradRule {
  Vec lr, eps;
  explicit AdagradRule(const UpdateParams& p) : lr(broadcast(-p.lr)), eps(broadcast(p.eps)) {}
  void operator()(Vec g, Vec& w, Vec& a, Vec&) const {
    a = fma(g, g, a);
    w = add(w, div(mul(lr, g), add(square_root(a), eps)));
  }
};

struct RmspropRule {
  Vec lr, eps, momentum, beta2, fresh2;
  bool plain;
  explicit RmspropRule(const UpdateParams& p)
      : lr(broadcast(-p.lr)),
        eps(broadcast(p.eps)),
        momentum(broadcast(p.beta1)),
        beta2(broadcast(p.beta2)),
        fresh2(broadcast(p.one_minus_beta2)),
        plain(p.b.data == nullptr) {}
  void operator()(Vec g, Vec& w, Vec& a, Vec& b) const {
    a = fma(mul(fresh2, g), g, mul(beta2, a));
    const Vec root = add(square_root(a), eps);
    if (plain) {
      w = add(w, div(mul(lr, g), root));
    } else {
      b = add(mul(momentum, b), div(g, root));
      w = fma(lr, b, w);
    }
  }
};

/// Calls body(rule) with the rule's object.
template <typename Body>
inline void visit_rule(const UpdateParams& p, Body body) {
  switch (p.rule) {
    case UpdateRule::sgd: body(SgdRule(p)); break;
    case UpdateRule::adamw: body(AdamwRule(p)); break;
    case UpdateRule::lion: body(LionRule(p)); break;
    case UpdateRule::adagrad: body(AdagradRule(p)); break;
    case UpdateRule::rmsprop: body(RmspropRule(p)); break;
  }
}

/// What a run reads and writes, from its first element on; null where there is none.
template <typename T, typename S>
struct UpdateStreams {
  const T* gradient;
  T* parameter;
  float* master;
  S* a;
  S* b;
};

/// Asks for kElements that are read 4 KiB later; behind the end of memory that is no fault.
template <std::int64_t kElements, typename T>
inline void prefetch_stream(const T* from) {
  const char* const ahead = reinterpret_cast<const char*>(from) + 4096;
  for (std::int64_t i = 0; i < kElements * static_cast<std::int64_t>(sizeof(T)); i += 64) __builtin_prefetch(ahead + i);
}

template <typename T, typename S, typename Rule>
inline void update_run(const UpdateParams& p, const UpdateStreams<T, S>& s, std::int64_t size, const Rule& rule) {
  const Vec scale = broadcast(p.grad_scale), l2 = broadcast(p.l2), decay = broadcast(p.decay);
  const auto update = [&](std::int64_t i, int count) {
    const Vec old = s.master != nullptr ? read(s.master + i, count) : read(s.parameter + i, count);
    Vec w = mul(old, decay);
    Vec a = s.a != nullptr ? read(s.a + i, count) : zero();
    Vec b = s.b != nullptr ? read(s.b + i, count) : zero();
    rule(fma(l2, old, mul(read(s.gradient + i, count), scale)), w, a, b);
    if (s.master != nullptr) write(s.master + i, w, count);
    if (s.parameter != nullptr) write(s.parameter + i, w, count);
    if (s.a != nullptr) write(s.a + i, a, count);
    if (s.b != nullptr) write(s.b + i, b, count);
  };
  constexpr std::int64_t kStrip = 32;  // bf16 of a cache line
  std::int64_t i = 0;
  for (; i + kStrip <= size; i += kStrip) {
    prefetch_stream<kStrip>(s.gradient + i);
    if (s.parameter != nullptr) prefetch_stream<kStrip>(s.parameter + i);
    if (s.master != nullptr) prefetch_stream<kStrip>(s.master + i);
    if (s.a != nullptr) prefetch_stream<kStrip>(s.a + i);
    if (s.b != nullptr) prefetch_stream<kStrip>(s.b + i);
    for (std::int64_t k = 0; k < kStrip; k += kWidth) update(i + k, kWidth);
  }
  for (; i < size; i += kWidth) update(i, lanes(size, i));
}

template <typename T>
inline T* at_element(void* data, std::int64_t i) {
  return data == nullptr ? nullptr : static_cast<T*>(data) + i;
}

template <typename T, typename S, typename Rule>
inline void update_numbers(const UpdateParams& p, std::int64_t begin, std::int64_t end, const Rule& rule) {
  const UpdateStreams<T, S> streams{.gradient = static_cast<const T*>(p.gradient) + begin,
                                    .parameter = at_element<T>(p.parameter, begin),
                                    .master = at_element<float>(p.master, begin),
                                    .a = at_element<S>(p.a.data, begin),
                                    .b = at_element<S>(p.b.data, begin)};
  update_run(p, streams, end - begin, rule);
}

template <typename T, typename Rule>
inline void update_codes(const UpdateParams& p, std::int64_t begin, std::int64_t end, const Rule& rule) {
  alignas(64) float a[kStateBlock], b[kStateBlock];
  for (std::int64_t i = begin; i < end; i += kStateBlock) {
    const std::int64_t count = smaller(end - i, kStateBlock);
    const bool two = p.b.data != nullptr;
    decode_block(p.a, i, a, count);
    if (two) decode_block(p.b, i, b, count);
    const UpdateStreams<T, float> streams{.gradient = static_cast<const T*>(p.gradient) + i,
                                          .parameter = at_element<T>(p.parameter, i),
                                          .master = at_element<float>(p.master, i),
                                          .a = a,
                                          .b = two ? b : nullptr};
    update_run(p, streams, count, rule);
    encode_block(p.a, i, a, count);
    if (two) encode_block(p.b, i, b, count);
  }
}

void optimizer_update(const UpdateParams& params, std::int64_t begin, std::int64_t end) {
  visit_rule(params, [&](const auto& rule) {
    visit(params.type, [&](auto tag) {
      using T = typename decltype(tag)::Type;
      if (params.a.codes != nullptr) {
        update_codes<T>(params, begin, end, rule);
      } else if (params.a.data == nullptr || params.a.type == Element::f32) {
        update_numbers<T, float>(params, begin, end, rule);
      } else {
        update_numbers<T, T>(params, begin, end, rule);
      }
    });
  });
}

double sum_squares(const void* x, Element type, std::int64_t begin, std::int64_t end) {
  double total = 0;
  visit(type, [&](auto tag) {
    const auto* const values = static_cast<const typename decltype(tag)::Type*>(x);
    constexpr std::int64_t kRun = 64 * kWidth;  // so few terms a lane that float32 loses nothing that matters
    for (std::int64_t run = begin; run < end; run += kRun) {
      const std::int64_t stop = smaller(end, run + kRun);
      Vec sum[4] = {zero(), zero(), zero(), zero()};
      const auto take = [&](std::int64_t i, int lane, int count) {
        const Vec value = read(values + i, count);
        sum[lane] = fma(value, value, sum[lane]);
      };
      std::int64_t i = run;
      for (; i + 4 * kWidth <= stop; i += 4 * kWidth) {
        prefetch_stream<4 * kWidth>(values + i);
        for (int k = 0; k < 4; ++k) take(i + k * kWidth, k, kWidth);
      }
      for (int k = 0; i < stop; i += kWidth, ++k) take(i, k, lanes(stop, i));
      total += static_cast<double>(reduce_add(add(add(sum[0], sum[1]), add(sum[2], sum[3]))));
    }
  });
  return total;
}

}  // namespace
}  // namespace powerhouse::cpu::POWERHOUSE_ISA_NAMESPACE
