// Bytes on AVX-512. With POWERHOUSE_VNNI products are added as they are made (vpdpwssd). The contract is in
// bytes_scalar.h.
#pragma once

#include <immintrin.h>

#include <cstdint>
#include <cstring>

#include "kernels/common/float16.h"

namespace powerhouse::cpu::POWERHOUSE_ISA_NAMESPACE {
namespace {

constexpr int kLevelShift = 128;

using Bytes = __m512i;
struct Sums {
  __m512i lanes;
};
using Lanes = __m512;

inline Bytes load_bytes(const std::uint8_t* from) { return _mm512_loadu_si512(from); }
inline Bytes either(Bytes a, Bytes b) { return _mm512_or_si512(a, b); }
inline Bytes keep(Bytes a, int mask) { return _mm512_and_si512(a, _mm512_set1_epi8(static_cast<char>(mask))); }
inline Bytes low_nibbles(Bytes a) { return keep(a, 15); }
template <int kFrom, int kTo>
inline Bytes move_bits(Bytes a, std::uint8_t mask) {
  if constexpr (kFrom >= kTo) {
    return keep(_mm512_srli_epi16(a, kFrom - kTo), mask);
  } else {
    return keep(_mm512_slli_epi16(a, kTo - kFrom), mask);
  }
}
inline Bytes high_nibbles(Bytes a) { return move_bits<4, 0>(a, 15); }
inline Bytes look_up(Bytes levels, Bytes nibbles) { return _mm512_shuffle_epi8(levels, nibbles); }

inline Sums sums_of(std::int32_t value) { return {_mm512_set1_epi32(value)}; }
inline Bytes repeated(__m128i levels) { return _mm512_broadcast_i32x4(levels); }
inline __m128i load_quarter(const void* from) { return _mm_loadu_si128(static_cast<const __m128i*>(from)); }
inline Bytes load_levels(const std::int8_t* levels) {
  return repeated(_mm_xor_si128(load_quarter(levels), _mm_set1_epi8(static_cast<char>(kLevelShift))));
}
inline Sums sums_add(Sums a, Sums b) { return {_mm512_add_epi32(a.lanes, b.lanes)}; }
inline Bytes even_bytes(Bytes a) { return _mm512_and_si512(a, _mm512_set1_epi16(255)); }
inline Bytes odd_bytes(Bytes a) { return _mm512_srli_epi16(a, 8); }
inline Sums dot(Sums sums, Bytes words, const std::int16_t* two) {
#ifdef POWERHOUSE_VNNI
  // Compilers broadcast by an instruction of its own, and instructions are what bounds these products.
  using Two = int __attribute__((may_alias, aligned(2)));
  asm("vpdpwssd %2%{1to16%}, %1, %0" : "+v"(sums.lanes) : "v"(words), "m"(*reinterpret_cast<const Two*>(two)));
  return sums;
#else
  int bits;
  std::memcpy(&bits, two, sizeof bits);
  return {_mm512_add_epi32(sums.lanes, _mm512_madd_epi16(words, _mm512_set1_epi32(bits)))};
#endif
}

inline Lanes to_lanes(Sums sums) { return _mm512_cvtepi32_ps(sums.lanes); }
inline Lanes lanes_of(float value) { return _mm512_set1_ps(value); }
inline Lanes lanes_f16(const std::uint8_t* from) {
  return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)));
}
inline Lanes lanes_i8(const std::uint8_t* from) { return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(load_quarter(from))); }
inline Lanes lanes_u8(const std::uint8_t* from) { return _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(load_quarter(from))); }
template <int kByte>
inline Lanes byte_lanes(Bytes a) {
  return _mm512_cvtepi32_ps(_mm512_and_si512(_mm512_srli_epi32(a, 8 * kByte), _mm512_set1_epi32(255)));
}
inline Bytes load_bases(const std::uint8_t* from) {
  const __m512i base = _mm512_cvtepu8_epi32(load_quarter(from));
  return _mm512_or_si512(_mm512_slli_epi32(base, 7), _mm512_slli_epi32(base, 23));
}
template <int kPart>
inline Bytes bf16_words(const std::uint8_t* bytes, Bytes codes, Bytes base) {
  constexpr int kLeft = 7 - 4 * kPart;
  __m512i exponent =
      kLeft > 0 ? _mm512_slli_epi16(codes, kLeft > 0 ? kLeft : 0) : _mm512_srli_epi16(codes, kLeft < 0 ? -kLeft : 0);
  exponent = _mm512_and_si512(exponent, _mm512_set1_epi16(0x780));
  exponent = _mm512_maskz_add_epi16(_mm512_test_epi16_mask(exponent, exponent), exponent, base);
  const __m512i rest = _mm512_cvtepi8_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(bytes)));
  constexpr int kAndOr = 0xEA;  // (a & b) | c
  return _mm512_ternarylogic_epi32(rest, _mm512_set1_epi16(static_cast<short>(0x807F)), exponent, kAndOr);
}
inline Lanes even_lanes(Bytes words) { return _mm512_castsi512_ps(_mm512_slli_epi32(words, 16)); }
inline Lanes odd_lanes(Bytes words) {
  return _mm512_castsi512_ps(_mm512_and_si512(words, _mm512_set1_epi32(static_cast<int>(0xFFFF0000u))));
}
inline Lanes lanes_mul(Lanes a, Lanes b) { return _mm512_mul_ps(a, b); }
inline Lanes lanes_add(Lanes a, Lanes b) { return _mm512_add_ps(a, b); }
inline Lanes lanes_fma(Lanes a, Lanes b, Lanes c) { return _mm512_fmadd_ps(a, b, c); }
inline void store_lanes(float* to, Lanes a, int count) {
  _mm512_mask_storeu_ps(to, static_cast<__mmask16>((1u << count) - 1u), a);
}
inline Lanes load_lanes(const float* from, int count) {
  return _mm512_maskz_loadu_ps(static_cast<__mmask16>((1u << count) - 1u), from);
}
inline void store_codes(std::int16_t* to, Lanes a) {
  const __m256i words = _mm512_cvtsepi32_epi16(_mm512_cvtps_epi32(a));
  const __m256i paired = _mm256_shufflehi_epi16(_mm256_shufflelo_epi16(words, 0xD8), 0xD8);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), paired);
}
inline void turn_registers(const __m512i (&row)[16], void* columns, std::int64_t step) {
  __m512i pair[16];
  for (int i = 0; i < 16; i += 2) {
    pair[i] = _mm512_unpacklo_epi32(row[i], row[i + 1]);
    pair[i + 1] = _mm512_unpackhi_epi32(row[i], row[i + 1]);
  }
  // four[4 i + c]: column c of each 128 bits, of the rows 4 i .. 4 i + 3.
  __m512i four[16];
  for (int i = 0; i < 16; i += 4) {
    four[i] = _mm512_unpacklo_epi64(pair[i], pair[i + 2]);
    four[i + 1] = _mm512_unpackhi_epi64(pair[i], pair[i + 2]);
    four[i + 2] = _mm512_unpacklo_epi64(pair[i + 1], pair[i + 3]);
    four[i + 3] = _mm512_unpackhi_epi64(pair[i + 1], pair[i + 3]);
  }
  for (int c = 0; c < 4; ++c) {
    const __m512i even_top = _mm512_shuffle_i32x4(four[c], four[c + 4], 0x88);
    const __m512i odd_top = _mm512_shuffle_i32x4(four[c], four[c + 4], 0xDD);
    const __m512i even_bottom = _mm512_shuffle_i32x4(four[c + 8], four[c + 12], 0x88);
    const __m512i odd_bottom = _mm512_shuffle_i32x4(four[c + 8], four[c + 12], 0xDD);
    char* const to = static_cast<char*>(columns) + c * step;
    _mm512_storeu_si512(to, _mm512_shuffle_i32x4(even_top, even_bottom, 0x88));
    _mm512_storeu_si512(to + 4 * step, _mm512_shuffle_i32x4(odd_top, odd_bottom, 0x88));
    _mm512_storeu_si512(to + 8 * step, _mm512_shuffle_i32x4(even_top, even_bottom, 0xDD));
    _mm512_storeu_si512(to + 12 * step, _mm512_shuffle_i32x4(odd_top, odd_bottom, 0xDD));
  }
}
inline void turn_words(const void* rows, void* columns, std::int64_t step) {
  __m512i row[16];
  for (int i = 0; i < 16; ++i) row[i] = _mm512_loadu_si512(static_cast<const char*>(rows) + 64 * i);
  turn_registers(row, columns, step);
}
#ifdef POWERHOUSE_DOT_BF16
/// Lane i of both, rounded to bf16, beside each other.
inline void store_pairs(bfloat16* to, Lanes first, Lanes second) {
  alignas(64) static constexpr std::uint16_t kTurns[32] = {0,  16, 1,  17, 2,  18, 3,  19, 4,  20, 5,
                                                           21, 6,  22, 7,  23, 8,  24, 9,  25, 10, 26,
                                                           11, 27, 12, 28, 13, 29, 14, 30, 15, 31};
  const auto both = reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(second, first));
  _mm512_storeu_si512(to, _mm512_permutexvar_epi16(_mm512_load_si512(kTurns), both));
}
#endif

}  // namespace
}  // namespace powerhouse::cpu::POWERHOUSE_ISA_NAMESPACE
