// Codes of an optimizer's states on AVX-512: tables of sixteen numbers in registers instead of look-ups in memory,
// which take ten instructions an element (sixteen elements of 8-bit AdamW: 34 ns, 18 this way, Zen 5).
#pragma once

#include "kernels/cpu/optimizer_params.h"
#include "kernels/cpu/vec/avx512.h"

namespace powerhouse::cpu::POWERHOUSE_ISA_NAMESPACE {
namespace {

/// values[codes[i]] for kStateBlock codes: half a table of 256 is eight registers, of which a code's lower five bits
/// choose in each pair, and its upper three among the pairs.
inline void decode_codes(const float* values, const std::uint8_t* codes, float* to) {
  Vec table[16];
  for (int i = 0; i < 16; ++i) table[i] = load(values + 16 * i);
  for (std::int64_t i = 0; i < kStateBlock; i += kWidth) {
    const __m512i code = _mm512_cvtepu8_epi32(load_bytes16(codes + i));
    const __mmask16 bit5 = _mm512_test_epi32_mask(code, _mm512_set1_epi32(32));
    const __mmask16 bit6 = _mm512_test_epi32_mask(code, _mm512_set1_epi32(64));
    const __mmask16 bit7 = _mm512_test_epi32_mask(code, _mm512_set1_epi32(128));
    const auto pair = [&](int k) { return _mm512_permutex2var_ps(table[k], code, table[k + 1]); };
    const auto quarter = [&](int k) { return _mm512_mask_blend_ps(bit5, pair(k), pair(k + 2)); };
    const auto half = [&](int k) { return _mm512_mask_blend_ps(bit6, quarter(k), quarter(k + 4)); };
    store(to + i, _mm512_mask_blend_ps(bit7, half(0), half(8)));
  }
}

/// Finds codes of sixteen numbers where none lies so near a bound that rounding could decide.
struct CodeFinder {
  static constexpr int kThresholds = 8;
  Vec threshold[kThresholds];
  Vec slope, offset, last, base, zero_code;

  explicit CodeFinder(const CodeSegments& s)
      : slope(load(s.slope)),
        offset(load(s.offset)),
        last(load(s.last)),
        base(load(s.base)),
        zero_code(broadcast(s.zero)) {
    for (int i = 0; i < kThresholds; ++i) threshold[i] = broadcast(s.threshold[i]);
  }

  /// Lanes of which the tables have to decide, NaN among them.
  unsigned find(Vec x, std::uint8_t* codes) const {
    const __m512i bits = _mm512_castps_si512(x);
    const __m512i one = _mm512_set1_epi32(1);
    const __mmask16 negative = _mm512_movepi32_mask(bits);
    // Bounds below x: below 0, a bound of the same magnitude is none of them. The next magnitude is above it.
    const __m512i magnitude = _mm512_and_si512(bits, _mm512_set1_epi32(0x7FFFFFFF));
    const Vec y = _mm512_castsi512_ps(_mm512_mask_add_epi32(magnitude, negative, magnitude, one));
    __m512i segment = _mm512_setzero_si512();  // a search by halves is as many instructions, in a chain thrice as long
    for (int i = 0; i < kThresholds; ++i) {
      segment = _mm512_mask_add_epi32(segment, _mm512_cmp_ps_mask(threshold[i], y, _CMP_LT_OQ), segment, one);
    }
    const Vec place = fma(_mm512_permutexvar_ps(segment, slope), y, _mm512_permutexvar_ps(segment, offset));
    const Vec apart = absolute(sub(place, round_nearest(place)));
    const Vec part = min(_mm512_roundscale_ps(place, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC),
                         _mm512_permutexvar_ps(segment, last));
    const Vec above = add(part, _mm512_permutexvar_ps(segment, base));
    const Vec code = _mm512_mask_sub_ps(add(zero_code, above), negative, zero_code, min(above, zero_code));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(codes), _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(code)));
    return _mm512_cmp_ps_mask(apart, broadcast(0x1p-12f), _CMP_NGE_UQ);
  }
};

}  // namespace
}  // namespace powerhouse::cpu::POWERHOUSE_ISA_NAMESPACE
