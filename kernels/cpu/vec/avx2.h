// Vec on AVX2 with FMA and F16C: eight lanes. The contract is in vec/scalar.h.
#pragma once

#include <immintrin.h>

#include <cstdint>

#include "kernels/common/float16.h"

namespace powerhouse::cpu::POWERHOUSE_ISA_NAMESPACE {
namespace {

constexpr int kWidth = 8;
constexpr int kRegisters = 16;
using Vec = __m256;

inline Vec broadcast(float value) { return _mm256_set1_ps(value); }
inline Vec zero() { return _mm256_setzero_ps(); }
inline Vec add(Vec a, Vec b) { return _mm256_add_ps(a, b); }
inline Vec sub(Vec a, Vec b) { return _mm256_sub_ps(a, b); }
inline Vec mul(Vec a, Vec b) { return _mm256_mul_ps(a, b); }
inline Vec div(Vec a, Vec b) { return _mm256_div_ps(a, b); }
inline Vec square_root(Vec a) { return _mm256_sqrt_ps(a); }
inline Vec fma(Vec a, Vec b, Vec c) { return _mm256_fmadd_ps(a, b, c); }
inline Vec max(Vec a, Vec b) { return _mm256_max_ps(a, b); }
inline Vec min(Vec a, Vec b) { return _mm256_min_ps(a, b); }
inline Vec absolute(Vec a) { return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), a); }
inline Vec copy_sign(Vec magnitude, Vec sign) {
  const Vec bit = _mm256_set1_ps(-0.0f);
  return _mm256_or_ps(_mm256_andnot_ps(bit, magnitude), _mm256_and_ps(bit, sign));
}
inline Vec round_nearest(Vec a) { return _mm256_round_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
inline Vec power_of_two(__m256i n) {
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(n, _mm256_set1_epi32(127)), 23));
}
inline Vec scale_by_power(Vec a, Vec n) {
  const __m256i power = _mm256_cvtps_epi32(n);
  const __m256i half = _mm256_srai_epi32(power, 1);
  return _mm256_mul_ps(_mm256_mul_ps(a, power_of_two(half)), power_of_two(_mm256_sub_epi32(power, half)));
}
inline Vec select_less(Vec a, Vec b, Vec yes, Vec no) {
  return _mm256_blendv_ps(no, yes, _mm256_cmp_ps(a, b, _CMP_LT_OQ));
}
inline Vec nearest_code(Vec a, int low, int high) {
  const __m256i bits = _mm256_castps_si256(_mm256_add_ps(a, _mm256_set1_ps(12582912.0f)));
  const __m256i mantissa = _mm256_and_si256(bits, _mm256_set1_epi32(0x007FFFFF));
  const __m256i raised = _mm256_max_epi32(mantissa, _mm256_set1_epi32(0x00400000 + low));
  const __m256i code = _mm256_min_epi32(raised, _mm256_set1_epi32(0x00400000 + high));
  const __m256i number = _mm256_or_si256(code, _mm256_set1_epi32(0x4B000000));
  return _mm256_sub_ps(_mm256_castsi256_ps(number), _mm256_set1_ps(12582912.0f));
}
using Words = __m256i;
inline Words load_words(const std::uint16_t* from) {
  return _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from)));
}
inline Vec pick(Vec table, Words words, int shift) {
  return _mm256_permutevar8x32_ps(table, _mm256_srl_epi32(words, _mm_cvtsi32_si128(shift)));
}
inline unsigned equal_mask(Vec a, Vec b) {
  return static_cast<unsigned>(_mm256_movemask_ps(_mm256_cmp_ps(a, b, _CMP_EQ_OQ)));
}
inline unsigned at_least_mask(Vec a, Vec b) {
  return static_cast<unsigned>(_mm256_movemask_ps(_mm256_cmp_ps(a, b, _CMP_GE_OQ)));
}
inline unsigned nan_mask(Vec a) { return static_cast<unsigned>(_mm256_movemask_ps(_mm256_cmp_ps(a, a, _CMP_UNORD_Q))); }

inline Vec widen_bf16(__m128i bits) { return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bits), 16)); }
/// bf16 bits in the upper halves of 32-bit lanes, rounded to nearest even, NaN quiet; the lower halves are zero.
inline __m256i bf16_bits(Vec a) {
  const __m256i bits = _mm256_castps_si256(a);
  const __m256i upper = _mm256_set1_epi32(static_cast<int>(0xFFFF0000u));
  const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
  const __m256i nearest = _mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7FFF)));
  const __m256i quiet = _mm256_or_si256(bits, _mm256_set1_epi32(0x400000));
  const __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(a, a, _CMP_UNORD_Q));
  return _mm256_and_si256(_mm256_blendv_epi8(nearest, quiet, nan), upper);
}
inline __m128i f16_bits(Vec a) { return _mm256_cvtps_ph(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }

inline Vec load(const float* from) { return _mm256_loadu_ps(from); }
inline Vec load(const bfloat16* from) { return widen_bf16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from))); }
inline Vec load(const float16* from) {
  return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from)));
}
template <typename T>
inline Vec load_first(const T* from, int count) {
  T lanes[kWidth] = {};
  for (int i = 0; i < count; ++i) lanes[i] = from[i];
  return load(lanes);
}
inline Vec broadcast_f16(float16 value) { return _mm256_cvtph_ps(_mm_set1_epi16(static_cast<short>(value.bits))); }
inline __m128i load_bytes8(const void* from) { return _mm_loadl_epi64(static_cast<const __m128i*>(from)); }
inline Vec widen_codes(const std::int8_t* from) { return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(load_bytes8(from))); }
inline Vec widen_nibbles(const std::uint8_t* from, bool high) {
  const __m128i bytes = load_bytes8(from);
  const __m128i nibbles = _mm_and_si128(high ? _mm_srli_epi16(bytes, 4) : bytes, _mm_set1_epi8(15));
  return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_sub_epi8(nibbles, _mm_set1_epi8(8))));
}
inline void store(float* to, Vec a) { _mm256_storeu_ps(to, a); }
inline void store(bfloat16* to, Vec a) {
  const __m256i halves = _mm256_srli_epi32(bf16_bits(a), 16);
  const __m256i packed = _mm256_permute4x64_epi64(_mm256_packus_epi32(halves, halves), 0x08);
  _mm_storeu_si128(reinterpret_cast<__m128i*>(to), _mm256_castsi256_si128(packed));
}
inline void store(float16* to, Vec a) { _mm_storeu_si128(reinterpret_cast<__m128i*>(to), f16_bits(a)); }
template <typename T>
inline void store_first(T* to, Vec a, int count) {
  T lanes[kWidth];
  store(lanes, a);
  for (int i = 0; i < count; ++i) to[i] = lanes[i];
}
template <typename T>
inline Vec round_to(Vec a);
template <>
inline Vec round_to<float>(Vec a) {
  return a;
}
template <>
inline Vec round_to<bfloat16>(Vec a) {
  return _mm256_castsi256_ps(bf16_bits(a));
}
template <>
inline Vec round_to<float16>(Vec a) {
  return _mm256_cvtph_ps(f16_bits(a));
}

inline void reduce_add4(Vec a, Vec b, Vec c, Vec d, float* sums) {
  const Vec pairs = _mm256_hadd_ps(_mm256_hadd_ps(a, b), _mm256_hadd_ps(c, d));
  _mm_storeu_ps(sums, _mm_add_ps(_mm256_castps256_ps128(pairs), _mm256_extractf128_ps(pairs, 1)));
}
inline float reduce_add(Vec a) {
  float sums[4];
  reduce_add4(a, a, a, a, sums);
  return sums[0];
}
inline float reduce_max(Vec a) {
  __m128 best = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
  best = _mm_max_ps(best, _mm_movehl_ps(best, best));
  return _mm_cvtss_f32(_mm_max_ss(best, _mm_movehdup_ps(best)));
}

template <typename T>
struct Dot {
  using Register = Vec;
  static constexpr int kStep = kWidth;
  static constexpr int kChains = 2;
  static Register read(const T* from) { return load(from); }
  static Register read_first(const T* from, int count) { return load_first(from, count); }
  static Register repeat(const T* from) { return broadcast(to_float(*from)); }
  static Vec accumulate(Vec sum, Register a, Register b) { return fma(a, b, sum); }
};

/// Sixteen bf16 at once, even and odd elements apart: a shift and a mask instead of two widening loads.
template <>
struct Dot<bfloat16> {
  struct Register {
    Vec even, odd;
  };
  static constexpr int kStep = 2 * kWidth;
  static constexpr int kChains = 2;
  static Register read(const bfloat16* from) {
    const __m256i bits = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
    const __m256i upper = _mm256_set1_epi32(static_cast<int>(0xFFFF0000u));
    return {_mm256_castsi256_ps(_mm256_slli_epi32(bits, 16)), _mm256_castsi256_ps(_mm256_and_si256(bits, upper))};
  }
  static Register read_first(const bfloat16* from, int count) {
    bfloat16 lanes[kStep] = {};
    for (int i = 0; i < count; ++i) lanes[i] = from[i];
    return read(lanes);
  }
  static Vec accumulate(Vec sum, Register a, Register b) { return fma(a.odd, b.odd, fma(a.even, b.even, sum)); }
};

}  // namespace
}  // namespace powerhouse::cpu::POWERHOUSE_ISA_NAMESPACE
