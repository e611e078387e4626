// Vec on plain C++: eight lanes as an array, which compilers turn into whatever the base instruction set has.
//
// The Vec contract, which vec/avx2.h and vec/avx512.h fulfil too: kWidth float32 lanes; loads and stores of float,
// bfloat16 and float16, whole or only the first `count` (< kWidth) lanes, the rest read as zero. max and min give their
// second argument where either is NaN. reduce_add4 sums four vectors by one and the same tree.
#pragma once

#include <cstdint>

#include "kernels/common/float16.h"

namespace powerhouse::cpu::POWERHOUSE_ISA_NAMESPACE {
namespace {

constexpr int kWidth = 8;
constexpr int kRegisters = 16;

struct Vec {
  float lane[kWidth];
};

template <typename Op>
inline Vec map(Op op) {
  Vec result;
  for (int i = 0; i < kWidth; ++i) result.lane[i] = op(i);
  return result;
}

template <typename Op>
inline unsigned mask(Op op) {
  unsigned bits = 0;
  for (int i = 0; i < kWidth; ++i) bits |= static_cast<unsigned>(op(i)) << i;
  return bits;
}

inline Vec broadcast(float value) {
  return map([&](int) { return value; });
}
inline Vec zero() { return broadcast(0.0f); }
inline Vec add(Vec a, Vec b) {
  return map([&](int i) { return a.lane[i] + b.lane[i]; });
}
inline Vec sub(Vec a, Vec b) {
  return map([&](int i) { return a.lane[i] - b.lane[i]; });
}
inline Vec mul(Vec a, Vec b) {
  return map([&](int i) { return a.lane[i] * b.lane[i]; });
}
inline Vec div(Vec a, Vec b) {
  return map([&](int i) { return a.lane[i] / b.lane[i]; });
}
inline Vec square_root(Vec a) {
  return map([&](int i) { return __builtin_sqrtf(a.lane[i]); });
}
/// a * b + c; two roundings here, one where the processor has FMA.
inline Vec fma(Vec a, Vec b, Vec c) {
  return map([&](int i) { return a.lane[i] * b.lane[i] + c.lane[i]; });
}
inline Vec max(Vec a, Vec b) {
  return map([&](int i) { return a.lane[i] > b.lane[i] ? a.lane[i] : b.lane[i]; });
}
inline Vec min(Vec a, Vec b) {
  return map([&](int i) { return a.lane[i] < b.lane[i] ? a.lane[i] : b.lane[i]; });
}
inline Vec absolute(Vec a) {
  return map([&](int i) { return bits_float(float_bits(a.lane[i]) & 0x7FFFFFFFu); });
}
inline Vec copy_sign(Vec magnitude, Vec sign) {
  return map([&](int i) {
    return bits_float((float_bits(magnitude.lane[i]) & 0x7FFFFFFFu) | (float_bits(sign.lane[i]) & 0x80000000u));
  });
}
/// The nearest integer, for |a| < 2^22: adding 1.5 * 2^23 pushes the fraction out.
inline Vec round_nearest(Vec a) {
  return map([&](int i) { return (a.lane[i] + 12582912.0f) - 12582912.0f; });
}
/// a * 2^n for integers n in [-240, 240], in two steps, so that neither factor leaves the range.
inline Vec scale_by_power(Vec a, Vec n) {
  return map([&](int i) {
    const int power = n.lane[i] == n.lane[i] ? static_cast<int>(n.lane[i]) : 0;  // NaN: `a` is, too
    const int half = power / 2;
    const float first = bits_float(static_cast<std::uint32_t>(half + 127) << 23);
    return a.lane[i] * first * bits_float(static_cast<std::uint32_t>(power - half + 127) << 23);
  });
}
/// Lanes of `yes` where a < b, of `no` elsewhere and where either is NaN.
inline Vec select_less(Vec a, Vec b, Vec yes, Vec no) {
  return map([&](int i) { return a.lane[i] < b.lane[i] ? yes.lane[i] : no.lane[i]; });
}
/// The nearest integer, ties to even, then the nearest to that of low .. high (both of magnitude below 2^22). Read off
/// the mantissa of a + 1.5 * 2^23, which makes -2^22 of infinities, and 0 of NaN.
inline Vec nearest_code(Vec a, int low, int high) {
  return map([&](int i) {
    const int code = static_cast<int>(float_bits(a.lane[i] + 12582912.0f) & 0x007FFFFFu) - 0x00400000;
    return static_cast<float>(code < low ? low : code > high ? high : code);
  });
}
/// kWidth words of 16 bits, and for each the element of `table` that the bits from `shift` on name: three of them here,
/// as many as there are lanes elsewhere, so that a table repeats itself after four or eight elements.
struct Words {
  std::uint16_t lane[kWidth];
};
inline Words load_words(const std::uint16_t* from) {
  Words words;
  for (int i = 0; i < kWidth; ++i) words.lane[i] = from[i];
  return words;
}
inline Vec pick(Vec table, Words words, int shift) {
  return map([&](int i) { return table.lane[words.lane[i] >> shift & 7]; });
}
inline unsigned equal_mask(Vec a, Vec b) {
  return mask([&](int i) { return a.lane[i] == b.lane[i]; });
}
inline unsigned at_least_mask(Vec a, Vec b) {
  return mask([&](int i) { return a.lane[i] >= b.lane[i]; });
}
inline unsigned nan_mask(Vec a) {
  return mask([&](int i) { return !(a.lane[i] == a.lane[i]); });
}

template <typename T>
inline Vec load(const T* from) {
  return map([&](int i) { return to_float(from[i]); });
}
template <typename T>
inline Vec load_first(const T* from, int count) {
  return map([&](int i) { return i < count ? to_float(from[i]) : 0.0f; });
}
inline Vec broadcast_f16(float16 value) { return broadcast(to_float(value)); }
/// kWidth signed bytes; the low or high halves of kWidth bytes, less 8.
inline Vec widen_codes(const std::int8_t* from) {
  return map([&](int i) { return static_cast<float>(from[i]); });
}
inline Vec widen_nibbles(const std::uint8_t* from, bool high) {
  return map([&](int i) { return static_cast<float>((from[i] >> (high ? 4 : 0) & 15) - 8); });
}
template <typename T>
inline void store(T* to, Vec a) {
  for (int i = 0; i < kWidth; ++i) from_float(a.lane[i], to[i]);
}
template <typename T>
inline void store_first(T* to, Vec a, int count) {
  for (int i = 0; i < count; ++i) from_float(a.lane[i], to[i]);
}
/// Each lane as the type would store it.
template <typename T>
inline Vec round_to(Vec a) {
  return map([&](int i) { return to_float(rounded<T>(a.lane[i])); });
}

inline float reduce_add(Vec a) {
  return ((a.lane[0] + a.lane[4]) + (a.lane[2] + a.lane[6])) + ((a.lane[1] + a.lane[5]) + (a.lane[3] + a.lane[7]));
}
inline float reduce_max(Vec a) {
  float best = a.lane[0];
  for (int i = 1; i < kWidth; ++i) best = best > a.lane[i] ? best : a.lane[i];
  return best;
}
inline void reduce_add4(Vec a, Vec b, Vec c, Vec d, float* sums) {
  sums[0] = reduce_add(a);
  sums[1] = reduce_add(b);
  sums[2] = reduce_add(c);
  sums[3] = reduce_add(d);
}

/// What a dot product reads at once from each side; `linear` is written over it. kChains sums run side by side, enough
/// that reading one row of weights is not held up by the latency of an addition. `repeat` gives every lane the same.
template <typename T>
struct Dot {
  using Register = Vec;
  static constexpr int kStep = kWidth;
  static constexpr int kChains = 1;
  static Register read(const T* from) { return load(from); }
  static Register read_first(const T* from, int count) { return load_first(from, count); }
  static Register repeat(const T* from) { return broadcast(to_float(*from)); }
  static Vec accumulate(Vec sum, Register a, Register b) { return fma(a, b, sum); }
};

}  // namespace
}  // namespace powerhouse::cpu::POWERHOUSE_ISA_NAMESPACE
