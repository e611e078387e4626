// Vec on AVX-512 (F, BW, VL, DQ): sixteen lanes, tails by mask. The contract is in vec/scalar.h.
//
// With POWERHOUSE_DOT_BF16 the dot product of bf16 is the processor's own instruction (AVX512_BF16): four times the
// multiplications of the split form per instruction; it treats subnormal inputs as zero.
#pragma once

#include <immintrin.h>

#include <cstdint>
#include <cstring>

#include "kernels/common/float16.h"

namespace powerhouse::cpu::POWERHOUSE_ISA_NAMESPACE {
namespace {

constexpr int kWidth = 16;
constexpr int kRegisters = 32;
using Vec = __m512;

inline __mmask16 first_lanes(int count) { return static_cast<__mmask16>((1u << count) - 1u); }

inline Vec broadcast(float value) { return _mm512_set1_ps(value); }
inline Vec zero() { return _mm512_setzero_ps(); }
inline Vec add(Vec a, Vec b) { return _mm512_add_ps(a, b); }
inline Vec sub(Vec a, Vec b) { return _mm512_sub_ps(a, b); }
inline Vec mul(Vec a, Vec b) { return _mm512_mul_ps(a, b); }
inline Vec div(Vec a, Vec b) { return _mm512_div_ps(a, b); }
inline Vec square_root(Vec a) { return _mm512_sqrt_ps(a); }
inline Vec fma(Vec a, Vec b, Vec c) { return _mm512_fmadd_ps(a, b, c); }
inline Vec max(Vec a, Vec b) { return _mm512_max_ps(a, b); }
inline Vec min(Vec a, Vec b) { return _mm512_min_ps(a, b); }
inline Vec absolute(Vec a) { return _mm512_andnot_ps(_mm512_set1_ps(-0.0f), a); }
inline Vec copy_sign(Vec magnitude, Vec sign) {
  const Vec bit = _mm512_set1_ps(-0.0f);
  return _mm512_or_ps(_mm512_andnot_ps(bit, magnitude), _mm512_and_ps(bit, sign));
}
inline Vec round_nearest(Vec a) { return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
inline Vec scale_by_power(Vec a, Vec n) { return _mm512_scalef_ps(a, n); }
inline Vec select_less(Vec a, Vec b, Vec yes, Vec no) {
  return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(a, b, _CMP_LT_OQ), no, yes);
}
inline Vec nearest_code(Vec a, int low, int high) {
  const __m512i bits = _mm512_castps_si512(_mm512_add_ps(a, _mm512_set1_ps(12582912.0f)));
  const __m512i mantissa = _mm512_and_si512(bits, _mm512_set1_epi32(0x007FFFFF));
  const __m512i raised = _mm512_max_epi32(mantissa, _mm512_set1_epi32(0x00400000 + low));
  const __m512i code = _mm512_min_epi32(raised, _mm512_set1_epi32(0x00400000 + high));
  const __m512i number = _mm512_or_si512(code, _mm512_set1_epi32(0x4B000000));
  return _mm512_sub_ps(_mm512_castsi512_ps(number), _mm512_set1_ps(12582912.0f));
}
using Words = __m512i;
inline Words load_words(const std::uint16_t* from) {
  return _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)));
}
inline Vec pick(Vec table, Words words, int shift) {
  return _mm512_permutexvar_ps(_mm512_srl_epi32(words, _mm_cvtsi32_si128(shift)), table);
}
inline unsigned equal_mask(Vec a, Vec b) { return _mm512_cmp_ps_mask(a, b, _CMP_EQ_OQ); }
inline unsigned at_least_mask(Vec a, Vec b) { return _mm512_cmp_ps_mask(a, b, _CMP_GE_OQ); }
inline unsigned nan_mask(Vec a) { return _mm512_cmp_ps_mask(a, a, _CMP_UNORD_Q); }

inline Vec widen_bf16(__m256i bits) { return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16)); }
/// bf16 bits in the upper halves of 32-bit lanes, rounded to nearest even, NaN quiet; the lower halves are zero.
/// Integer arithmetic, because vcvtneps2bf16 flushes subnormals.
inline __m512i bf16_bits(Vec a) {
  const __m512i bits = _mm512_castps_si512(a);
  const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
  const __m512i nearest = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7FFF)));
  const __mmask16 nan = _mm512_cmp_ps_mask(a, a, _CMP_UNORD_Q);
  const __m512i rounded = _mm512_mask_or_epi32(nearest, nan, bits, _mm512_set1_epi32(0x400000));
  return _mm512_and_si512(rounded, _mm512_set1_epi32(static_cast<int>(0xFFFF0000u)));
}
inline __m256i bf16_packed(Vec a) {
#ifdef POWERHOUSE_DOT_BF16
  // The processor's rounding is the same for everything but subnormals, which hardly ever come.
  constexpr int kSubnormal = 0x20;
  if (__builtin_expect(_mm512_fpclass_ps_mask(a, kSubnormal) == 0, 1)) {
    return reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(a));
  }
#endif
  return _mm512_cvtepi32_epi16(_mm512_srli_epi32(bf16_bits(a), 16));
}
inline __m256i f16_bits(Vec a) { return _mm512_cvtps_ph(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }

inline Vec load(const float* from) { return _mm512_loadu_ps(from); }
inline Vec load(const bfloat16* from) { return widen_bf16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from))); }
inline Vec load(const float16* from) {
  return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)));
}
inline Vec load_first(const float* from, int count) { return _mm512_maskz_loadu_ps(first_lanes(count), from); }
inline Vec load_first(const bfloat16* from, int count) {
  return widen_bf16(_mm256_maskz_loadu_epi16(first_lanes(count), from));
}
inline Vec load_first(const float16* from, int count) {
  return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(first_lanes(count), from));
}
inline Vec broadcast_f16(float16 value) { return _mm512_cvtph_ps(_mm256_set1_epi16(static_cast<short>(value.bits))); }
inline __m128i load_bytes16(const void* from) { return _mm_loadu_si128(static_cast<const __m128i*>(from)); }
inline Vec widen_codes(const std::int8_t* from) { return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(load_bytes16(from))); }
inline Vec widen_nibbles(const std::uint8_t* from, bool high) {
  const __m128i bytes = load_bytes16(from);
  const __m128i nibbles = _mm_and_si128(high ? _mm_srli_epi16(bytes, 4) : bytes, _mm_set1_epi8(15));
  return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_sub_epi8(nibbles, _mm_set1_epi8(8))));
}
inline void store(float* to, Vec a) { _mm512_storeu_ps(to, a); }
inline void store(bfloat16* to, Vec a) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), bf16_packed(a)); }
inline void store(float16* to, Vec a) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), f16_bits(a)); }
inline void store_first(float* to, Vec a, int count) { _mm512_mask_storeu_ps(to, first_lanes(count), a); }
inline void store_first(bfloat16* to, Vec a, int count) {
  _mm256_mask_storeu_epi16(to, first_lanes(count), bf16_packed(a));
}
inline void store_first(float16* to, Vec a, int count) {
  _mm256_mask_storeu_epi16(to, first_lanes(count), f16_bits(a));
}
template <typename T>
inline Vec round_to(Vec a);
template <>
inline Vec round_to<float>(Vec a) {
  return a;
}
template <>
inline Vec round_to<bfloat16>(Vec a) {
  return _mm512_castsi512_ps(bf16_bits(a));
}
template <>
inline Vec round_to<float16>(Vec a) {
  return _mm512_cvtph_ps(f16_bits(a));
}

/// Elements i of both, side by side: of the first sixteen, and of the others.
struct Interleaved {
  __m512i low, high;
};
inline Interleaved interleaved(__m512i even, __m512i odd) {
  const __m512i low = _mm512_set_epi16(47, 15, 46, 14, 45, 13, 44, 12, 43, 11, 42, 10, 41, 9, 40, 8, 39, 7, 38, 6, 37,
                                       5, 36, 4, 35, 3, 34, 2, 33, 1, 32, 0);
  const __m512i high = _mm512_or_si512(low, _mm512_set1_epi16(16));
  return {_mm512_permutex2var_epi16(even, low, odd), _mm512_permutex2var_epi16(even, high, odd)};
}

#ifdef POWERHOUSE_DOT_BF16
/// For operands of dot products, which take subnormals as zero as this rounding does.
inline void store_operand(bfloat16* to, Vec a) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(a)));
}
/// Lane i of both, side by side.
inline void store_operands(bfloat16* to, Vec even, Vec odd) {
  const __m512i order = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6, 21,
                                         5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
  const auto both = reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(odd, even));
  _mm512_storeu_si512(to, _mm512_permutexvar_epi16(order, both));
}
#endif

inline Vec interleave_add(Vec a, Vec b) { return add(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b)); }
inline void reduce_add4(Vec a, Vec b, Vec c, Vec d, float* sums) {
  const __m512d ab = _mm512_castps_pd(interleave_add(a, b));
  const __m512d cd = _mm512_castps_pd(interleave_add(c, d));
  const Vec quarters = add(_mm512_castpd_ps(_mm512_unpacklo_pd(ab, cd)), _mm512_castpd_ps(_mm512_unpackhi_pd(ab, cd)));
  const __m256 halves = _mm256_add_ps(_mm512_castps512_ps256(quarters), _mm512_extractf32x8_ps(quarters, 1));
  _mm_storeu_ps(sums, _mm_add_ps(_mm256_castps256_ps128(halves), _mm256_extractf128_ps(halves, 1)));
}
inline float reduce_add(Vec a) {
  float sums[4];
  reduce_add4(a, a, a, a, sums);
  return sums[0];
}
inline float reduce_max(Vec a) {
  const __m256 halves = _mm256_max_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps(a, 1));
  __m128 best = _mm_max_ps(_mm256_castps256_ps128(halves), _mm256_extractf128_ps(halves, 1));
  best = _mm_max_ps(best, _mm_movehl_ps(best, best));
  return _mm_cvtss_f32(_mm_max_ss(best, _mm_movehdup_ps(best)));
}

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

/// Thirty-two bf16 at once.
template <>
struct Dot<bfloat16> {
  static constexpr int kStep = 2 * kWidth;
  static __m512i bits_first(const bfloat16* from, int count) {
    return _mm512_maskz_loadu_epi16(static_cast<__mmask32>((1u << count) - 1u), from);
  }
#ifdef POWERHOUSE_DOT_BF16
  using Register = __m512bh;
  static constexpr int kChains = 1;
  static Register read(const bfloat16* from) { return reinterpret_cast<__m512bh>(_mm512_loadu_si512(from)); }
  static Register read_first(const bfloat16* from, int count) {
    return reinterpret_cast<__m512bh>(bits_first(from, count));
  }
  static Register repeat(const bfloat16* pair) {
    int bits;
    std::memcpy(&bits, pair, sizeof bits);
    return reinterpret_cast<__m512bh>(_mm512_set1_epi32(bits));
  }
  static Vec accumulate(Vec sum, Register a, Register b) { return _mm512_dpbf16_ps(sum, a, b); }
#else
  static constexpr int kChains = 2;
  struct Register {
    Vec even, odd;
  };
  static Register split(__m512i bits) {
    const __m512i upper = _mm512_set1_epi32(static_cast<int>(0xFFFF0000u));
    return {_mm512_castsi512_ps(_mm512_slli_epi32(bits, 16)), _mm512_castsi512_ps(_mm512_and_si512(bits, upper))};
  }
  static Register read(const bfloat16* from) { return split(_mm512_loadu_si512(from)); }
  static Register read_first(const bfloat16* from, int count) { return split(bits_first(from, count)); }
  static Vec accumulate(Vec sum, Register a, Register b) { return fma(a.odd, b.odd, fma(a.even, b.even, sum)); }
#endif
};

}  // namespace
}  // namespace powerhouse::cpu::POWERHOUSE_ISA_NAMESPACE
