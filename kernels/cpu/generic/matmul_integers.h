// bf16 as 16-bit integers with a unit for each 32 elements of a row, for products on processors whose dot products of
// 16-bit integers (AVX512_VNNI's vpdpwssd) are the fastest thing they have: two a cycle, of 32 products each, where
// multiplications of float32 are 16 and a dot product of bf16 takes two cycles (a Xeon of the fifth generation).
//
// An element becomes a whole number of units, at most 8191 of them; the unit is 2^-12 of the power of two of the row's
// largest in those 32. So elements down to 1/32 of that are exact, smaller ones are rounded to half a unit, which is an
// eighth of what bf16 itself rounded the largest by. 32 products then fit 31 bits, and add up exactly before they are
// scaled and summed in float32. (Block floating point: Wilkinson 1963; with shared exponents of 32 elements, as here,
// Rouhani et al. 2023, "Microscaling data formats".)
#pragma once

#include <cstdint>

#include "kernels/cpu/generic/math.h"

#ifdef __AVX512VNNI__
namespace powerhouse::cpu::POWERHOUSE_ISA_NAMESPACE {
namespace {

/// In place, 32 elements of each of sixteen rows: sixteen groups, in which each row has a pair of neighbours. Behind
/// them come the sixteen units, float32; not a number where an element is not finite.
inline void make_integers(std::int16_t* groups) {
  const __m512i exponent_bits = _mm512_set1_epi16(0x7F80);
  __m512i most = _mm512_setzero_si512();
  for (int i = 0; i < 16; ++i) {
    most = _mm512_max_epu16(most, _mm512_and_si512(_mm512_load_si512(groups + 32 * i), exponent_bits));
  }
  most = _mm512_max_epu16(most, _mm512_rol_epi32(most, 16));
  const __m512i largest = _mm512_srli_epi16(most, 7);
  for (int i = 0; i < 16; ++i) {
    const __m512i bits = _mm512_load_si512(groups + 32 * i);
    const __mmask32 normal = _mm512_test_epi16_mask(bits, exponent_bits);  // less than that is zero
    const __m512i exponent = _mm512_srli_epi16(_mm512_and_si512(bits, exponent_bits), 7);
    // The leading one and seven bits, one place above where the largest has them: the shift's last bit rounds.
    const __m512i digits = _mm512_ternarylogic_epi32(_mm512_slli_epi16(bits, 6), _mm512_set1_epi16(0x1FC0),
                                                     _mm512_set1_epi16(0x2000), 0xEA);  // a & b | c
    const __m512i shifted = _mm512_maskz_srlv_epi16(normal, digits, _mm512_sub_epi16(largest, exponent));
    const __m512i units = _mm512_avg_epu16(shifted, _mm512_setzero_si512());
    const __m512i value = _mm512_mask_sub_epi16(units, _mm512_movepi16_mask(bits), _mm512_setzero_si512(), units);
    _mm512_store_si512(groups + 32 * i, value);
  }
  // 2^(e - 127 - 12) where e is at least 13; what is smaller throughout adds nothing to a sum in float32.
  const __m512i word = _mm512_srli_epi32(most, 16 + 7);
  const __mmask16 counts = _mm512_cmpgt_epu32_mask(word, _mm512_set1_epi32(12));
  const __m512i unit = _mm512_maskz_slli_epi32(counts, _mm512_sub_epi32(word, _mm512_set1_epi32(12)), 23);
  const __mmask16 finite = _mm512_cmplt_epu32_mask(word, _mm512_set1_epi32(0xFF));
  _mm512_store_si512(groups + 32 * 16, _mm512_mask_blend_epi32(finite, _mm512_set1_epi32(0x7FC00000), unit));
}

// Not __m512i, of 64-bit lanes: a sum that changes its type on the way does not stay in its register.
using Int32s = int __attribute__((vector_size(64)));

inline Int32s add_pairs(Int32s sum, Int32s a, Int32s b) {
#ifdef __clang__
  return reinterpret_cast<Int32s>(
      _mm512_dpwssd_epi32(reinterpret_cast<__m512i>(sum), reinterpret_cast<__m512i>(a), reinterpret_cast<__m512i>(b)));
#else
  return __builtin_ia32_vpdpwssd_v16si(sum, a, b);
#endif
}

inline Int32s first_pairs(Int32s a, Int32s b) {
  return reinterpret_cast<Int32s>(_mm512_madd_epi16(reinterpret_cast<__m512i>(a), reinterpret_cast<__m512i>(b)));
}

/// Adds what 32 elements of kRows rows of `a` and of kVectors panels of `b` give. A function of its own: with sums of
/// both kinds in one, g++ keeps neither in registers.
template <int kRows, int kVectors>
__attribute__((noinline)) void add_integers(Vec (&sum)[kRows][kVectors], const std::int16_t* a, const std::int16_t* b,
                                            std::int64_t panel) {
  const auto read_pairs = [](const std::int16_t* from) { return reinterpret_cast<Int32s>(_mm512_load_si512(from)); };
  const auto repeat_pair = [](const std::int16_t* from) {
    int bits;
    __builtin_memcpy(&bits, from, sizeof bits);
    return reinterpret_cast<Int32s>(_mm512_set1_epi32(bits));
  };
  const float* const a_units = reinterpret_cast<const float*>(a + 16 * 32);
  const float* const b_units = reinterpret_cast<const float*>(b + 16 * 32);
  Int32s product[kRows][kVectors];
  Int32s weight[kVectors];
  for (int j = 0; j < kVectors; ++j) weight[j] = read_pairs(b + j * panel);
  for (int i = 0; i < kRows; ++i) {
    const Int32s factor = repeat_pair(a + 2 * i);
    for (int j = 0; j < kVectors; ++j) product[i][j] = first_pairs(factor, weight[j]);
  }
  for (int group = 1; group < 16; ++group) {
    a += 32;
    b += 32;
    for (int j = 0; j < kVectors; ++j) weight[j] = read_pairs(b + j * panel);
    for (int i = 0; i < kRows; ++i) {
      const Int32s factor = repeat_pair(a + 2 * i);
      for (int j = 0; j < kVectors; ++j) {
        product[i][j] = add_pairs(product[i][j], factor, weight[j]);
      }
    }
  }
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i) {
    const Vec a_unit = broadcast(a_units[i]);
#pragma GCC unroll 4
    for (int j = 0; j < kVectors; ++j) {
      const Vec value = mul(_mm512_cvtepi32_ps(reinterpret_cast<__m512i>(product[i][j])), a_unit);
      sum[i][j] = fma(value, load(b_units + j * (panel / 2)), sum[i][j]);
    }
  }
}

}  // namespace
}  // namespace powerhouse::cpu::POWERHOUSE_ISA_NAMESPACE
#endif
