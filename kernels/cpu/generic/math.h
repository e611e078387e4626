// Elementary functions on Vec, and the small tools that every generic kernel uses.
//
// Polynomials were fitted by tests/oracles/fit_cpu_math.py; their own error is below 4e-9, so what remains is float32
// rounding: 1 to 2 ulp.
#pragma once

#include <cstdint>

#include "kernels/common/element.h"

namespace powerhouse::cpu::POWERHOUSE_ISA_NAMESPACE {
namespace {

template <typename T>
struct Tag {
  using Type = T;
};

/// A number that a generic lambda can use as a template argument.
template <int kNumber>
struct Count {
  static constexpr int kValue = kNumber;
};

/// Asks for kBytes of weights that are read some time after those at `from`. 8 KiB ahead is far enough for one row too:
/// by itself a core looks ahead some 3 KiB, which memory answers at 20 to 34 GB/s (Zen 5) where 39 to 41 are to be had.
template <std::int64_t kBytes>
inline void prefetch_weights(const void* from) {
  const char* const ahead = static_cast<const char*>(from) + 8192;
  for (std::int64_t i = 0; i < kBytes; i += 64) __builtin_prefetch(ahead + i);
}

/// Calls op(Tag<T>) with the C++ type of an element type.
template <typename Op>
inline void visit(Element type, Op op) {
  switch (type) {
    case Element::f32: op(Tag<float>{}); break;
    case Element::bf16: op(Tag<bfloat16>{}); break;
    case Element::f16: op(Tag<float16>{}); break;
  }
}

inline std::int64_t smaller(std::int64_t a, std::int64_t b) { return a < b ? a : b; }
inline std::int64_t larger(std::int64_t a, std::int64_t b) { return a < b ? b : a; }

/// The first address of scratch that is a multiple of 64: a load across two cache lines costs prefill a tenth.
inline float* on_cache_line(float* scratch) {
  const auto address = reinterpret_cast<std::uintptr_t>(scratch);
  return scratch + (64 - address % 64) % 64 / sizeof(float);
}

/// Lanes that a loop step at `i` of `count` elements uses.
inline int lanes(std::int64_t count, std::int64_t i) { return static_cast<int>(smaller(count - i, kWidth)); }

template <typename T>
inline Vec read(const T* from, int count) {
  return count == kWidth ? load(from) : load_first(from, count);
}
template <typename T>
inline void write(T* to, Vec value, int count) {
  if (count == kWidth) {
    store(to, value);
  } else {
    store_first(to, value, count);
  }
}

/// Widens `size` elements and writes whole vectors: zeros behind the last.
template <typename T>
inline void widen(const T* from, float* to, std::int64_t size) {
  std::int64_t i = 0;
  for (; i + kWidth <= size; i += kWidth) store(to + i, load(from + i));
  if (i < size) store(to + i, load_first(from + i, static_cast<int>(size - i)));
}

/// `value` in the first `count` lanes, `other` in the rest.
inline Vec keep_first(Vec value, int count, float other) {
  if (count == kWidth) return value;
  float lane[kWidth];
  store(lane, value);
  for (int i = count; i < kWidth; ++i) lane[i] = other;
  return load(lane);
}

/// e^x = 2^n e^r with |r| <= ln(2)/2. ln(2) comes in two parts, the first with few bits, so that n * part is exact.
inline Vec exp(Vec x) {
  const Vec bounded = min(broadcast(89.0f), max(broadcast(-104.0f), x));  // infinity and 0 follow; NaN passes
  const Vec n = round_nearest(mul(bounded, broadcast(1.44269504f)));
  const Vec r = fma(n, broadcast(2.12194440e-4f), fma(n, broadcast(-0.693359375f), bounded));
  Vec p = broadcast(0.0013814596459269524f);
  p = fma(p, r, broadcast(0.0083687175065279f));
  p = fma(p, r, broadcast(0.04166838899254799f));
  p = fma(p, r, broadcast(0.1666652113199234f));
  p = fma(p, r, broadcast(0.4999999403953552f));
  p = fma(mul(p, r), r, r);
  return scale_by_power(add(p, broadcast(1.0f)), n);
}

/// 2^x for x below 128, wrong by at most 8e-5 of itself: for what becomes bf16, which is wrong by 2e-3.
inline Vec exp2_short(Vec x) {
  const Vec bounded = max(broadcast(-150.0f), x);  // 0 follows; NaN passes
  const Vec n = round_nearest(bounded);
  const Vec f = sub(bounded, n);
  Vec p = broadcast(0.0551716685295105f);
  p = fma(p, f, broadcast(0.2426111251115799f));
  p = fma(p, f, broadcast(0.6932609677314758f));
  p = fma(p, f, broadcast(0.9999280571937561f));
  return scale_by_power(p, n);
}

/// A polynomial where |x| is small and cancellation would bite, 1 - 2 / (e^2|x| + 1) elsewhere.
inline Vec tanh(Vec x) {
  const Vec magnitude = absolute(x);
  const Vec square = mul(x, x);
  Vec p = broadcast(-0.005717032589018345f);
  p = fma(p, square, broadcast(0.020650574937462807f));
  p = fma(p, square, broadcast(-0.05374349281191826f));
  p = fma(p, square, broadcast(0.13331490755081177f));
  p = fma(p, square, broadcast(-0.3333328366279602f));
  const Vec near = fma(mul(p, square), x, x);
  const Vec power = exp(add(magnitude, magnitude));
  const Vec far = sub(broadcast(1.0f), div(broadcast(2.0f), add(power, broadcast(1.0f))));
  return select_less(magnitude, broadcast(0.625f), near, copy_sign(far, x));
}

/// The normal distribution function Phi(x) = erfc(-x / sqrt(2)) / 2, small tails with full relative precision:
/// erfc(z) = e^(-z^2) t P(t) with t = 1 / (1 + z / 2).
inline Vec normal_distribution(Vec x) {
  const Vec z = mul(absolute(x), broadcast(0.70710678f));
  const Vec t = div(broadcast(1.0f), fma(z, broadcast(0.5f), broadcast(1.0f)));
  Vec p = broadcast(0.03631771025721835f);
  p = fma(p, t, broadcast(-0.19429704038973136f));
  p = fma(p, t, broadcast(0.38989718191965717f));
  p = fma(p, t, broadcast(-0.30227131734655077f));
  p = fma(p, t, broadcast(-0.009897645081999484f));
  p = fma(p, t, broadcast(0.02779817529795173f));
  p = fma(p, t, broadcast(0.05809063099345911f));
  p = fma(p, t, broadcast(0.18470034825117349f));
  p = fma(p, t, broadcast(0.24533596192787333f));
  p = fma(p, t, broadcast(0.28223681075628665f));
  p = fma(p, t, broadcast(0.28208918705266733f));
  const Vec tail = mul(mul(p, t), mul(exp(mul(mul(x, x), broadcast(-0.5f))), broadcast(0.5f)));
  return select_less(x, zero(), tail, sub(broadcast(1.0f), tail));
}

}  // namespace
}  // namespace powerhouse::cpu::POWERHOUSE_ISA_NAMESPACE
