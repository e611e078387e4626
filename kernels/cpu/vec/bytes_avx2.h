// Bytes on AVX2: two registers each. The contract is in bytes_scalar.h.
#pragma once

#include <immintrin.h>

#include <cstdint>
#include <cstring>

#include "kernels/common/float16.h"

namespace powerhouse::cpu::POWERHOUSE_ISA_NAMESPACE {
namespace {

constexpr int kLevelShift = 128;

struct Bytes {
  __m256i low, high;
};
struct Sums {
  __m256i low, high;
};
struct Lanes {
  __m256 low, high;
};

inline __m256i load_half(const void* from) { return _mm256_loadu_si256(static_cast<const __m256i*>(from)); }
inline Bytes load_bytes(const std::uint8_t* from) { return {load_half(from), load_half(from + 32)}; }
inline Bytes either(Bytes a, Bytes b) { return {_mm256_or_si256(a.low, b.low), _mm256_or_si256(a.high, b.high)}; }
inline Bytes keep(Bytes a, int mask) {
  const __m256i wanted = _mm256_set1_epi8(static_cast<char>(mask));
  return {_mm256_and_si256(a.low, wanted), _mm256_and_si256(a.high, wanted)};
}
inline Bytes low_nibbles(Bytes a) { return keep(a, 15); }
template <int kFrom, int kTo>
inline Bytes move_bits(Bytes a, std::uint8_t mask) {
  if constexpr (kFrom >= kTo) {
    return keep({_mm256_srli_epi16(a.low, kFrom - kTo), _mm256_srli_epi16(a.high, kFrom - kTo)}, mask);
  } else {
    return keep({_mm256_slli_epi16(a.low, kTo - kFrom), _mm256_slli_epi16(a.high, kTo - kFrom)}, mask);
  }
}
inline Bytes high_nibbles(Bytes a) { return move_bits<4, 0>(a, 15); }
inline Bytes load_levels(const std::int8_t* levels) {
  const __m128i shifted = _mm_xor_si128(_mm_loadu_si128(reinterpret_cast<const __m128i*>(levels)),
                                        _mm_set1_epi8(static_cast<char>(kLevelShift)));
  const __m256i both = _mm256_broadcastsi128_si256(shifted);
  return {both, both};
}
inline Bytes look_up(Bytes levels, Bytes nibbles) {
  return {_mm256_shuffle_epi8(levels.low, nibbles.low), _mm256_shuffle_epi8(levels.high, nibbles.high)};
}

inline Sums sums_of(std::int32_t value) { return {_mm256_set1_epi32(value), _mm256_set1_epi32(value)}; }
inline Sums sums_add(Sums a, Sums b) { return {_mm256_add_epi32(a.low, b.low), _mm256_add_epi32(a.high, b.high)}; }
inline Bytes even_bytes(Bytes a) {
  const __m256i even = _mm256_set1_epi16(255);
  return {_mm256_and_si256(a.low, even), _mm256_and_si256(a.high, even)};
}
inline Bytes odd_bytes(Bytes a) { return {_mm256_srli_epi16(a.low, 8), _mm256_srli_epi16(a.high, 8)}; }
inline Sums dot(Sums sums, Bytes words, const std::int16_t* two) {
  int bits;
  std::memcpy(&bits, two, sizeof bits);
  const __m256i x = _mm256_set1_epi32(bits);
  return {_mm256_add_epi32(sums.low, _mm256_madd_epi16(words.low, x)),
          _mm256_add_epi32(sums.high, _mm256_madd_epi16(words.high, x))};
}

inline Lanes to_lanes(Sums sums) { return {_mm256_cvtepi32_ps(sums.low), _mm256_cvtepi32_ps(sums.high)}; }
inline Lanes lanes_of(float value) { return {_mm256_set1_ps(value), _mm256_set1_ps(value)}; }
inline __m128i load_quarter(const std::uint8_t* from) {
  return _mm_loadu_si128(reinterpret_cast<const __m128i*>(from));
}
inline Lanes lanes_f16(const std::uint8_t* from) {
  return {_mm256_cvtph_ps(load_quarter(from)), _mm256_cvtph_ps(load_quarter(from + 16))};
}
inline Lanes lanes_i8(const std::uint8_t* from) {
  const __m128i bytes = load_quarter(from);
  return {_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes)),
          _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_srli_si128(bytes, 8)))};
}
inline Lanes lanes_u8(const std::uint8_t* from) {
  const __m128i bytes = load_quarter(from);
  return {_mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(bytes)),
          _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_srli_si128(bytes, 8)))};
}
template <int kByte>
inline Lanes byte_lanes(Bytes a) {
  const __m256i byte = _mm256_set1_epi32(255);
  return {_mm256_cvtepi32_ps(_mm256_and_si256(_mm256_srli_epi32(a.low, 8 * kByte), byte)),
          _mm256_cvtepi32_ps(_mm256_and_si256(_mm256_srli_epi32(a.high, 8 * kByte), byte))};
}
inline __m256i bases_of(__m128i bytes) {
  const __m256i base = _mm256_cvtepu8_epi32(bytes);
  return _mm256_or_si256(_mm256_slli_epi32(base, 7), _mm256_slli_epi32(base, 23));
}
inline Bytes load_bases(const std::uint8_t* from) {
  const __m128i bytes = load_quarter(from);
  return {bases_of(bytes), bases_of(_mm_srli_si128(bytes, 8))};
}
template <int kPart>
inline __m256i bf16_half(__m128i bytes, __m256i codes, __m256i base) {
  constexpr int kLeft = 7 - 4 * kPart;
  __m256i exponent =
      kLeft > 0 ? _mm256_slli_epi16(codes, kLeft > 0 ? kLeft : 0) : _mm256_srli_epi16(codes, kLeft < 0 ? -kLeft : 0);
  exponent = _mm256_and_si256(exponent, _mm256_set1_epi16(0x780));
  const __m256i none = _mm256_cmpeq_epi16(exponent, _mm256_setzero_si256());
  exponent = _mm256_andnot_si256(none, _mm256_add_epi16(exponent, base));
  const __m256i rest = _mm256_and_si256(_mm256_cvtepi8_epi16(bytes), _mm256_set1_epi16(static_cast<short>(0x807F)));
  return _mm256_or_si256(rest, exponent);
}
template <int kPart>
inline Bytes bf16_words(const std::uint8_t* bytes, Bytes codes, Bytes base) {
  return {bf16_half<kPart>(load_quarter(bytes), codes.low, base.low),
          bf16_half<kPart>(load_quarter(bytes + 16), codes.high, base.high)};
}
inline Lanes even_lanes(Bytes words) {
  return {_mm256_castsi256_ps(_mm256_slli_epi32(words.low, 16)),
          _mm256_castsi256_ps(_mm256_slli_epi32(words.high, 16))};
}
inline Lanes odd_lanes(Bytes words) {
  const __m256i upper = _mm256_set1_epi32(static_cast<int>(0xFFFF0000u));
  return {_mm256_castsi256_ps(_mm256_and_si256(words.low, upper)),
          _mm256_castsi256_ps(_mm256_and_si256(words.high, upper))};
}
inline Lanes lanes_mul(Lanes a, Lanes b) { return {_mm256_mul_ps(a.low, b.low), _mm256_mul_ps(a.high, b.high)}; }
inline Lanes lanes_add(Lanes a, Lanes b) { return {_mm256_add_ps(a.low, b.low), _mm256_add_ps(a.high, b.high)}; }
inline Lanes lanes_fma(Lanes a, Lanes b, Lanes c) {
  return {_mm256_fmadd_ps(a.low, b.low, c.low), _mm256_fmadd_ps(a.high, b.high, c.high)};
}
inline void store_lanes(float* to, Lanes a, int count) {
  float lanes[16];
  _mm256_storeu_ps(lanes, a.low);
  _mm256_storeu_ps(lanes + 8, a.high);
  if (count == 16) {
    std::memcpy(to, lanes, sizeof lanes);
  } else {
    for (int i = 0; i < count; ++i) to[i] = lanes[i];
  }
}
inline Lanes load_lanes(const float* from, int count) {
  if (count == 16) return {_mm256_loadu_ps(from), _mm256_loadu_ps(from + 8)};
  float lanes[16] = {};
  for (int i = 0; i < count; ++i) lanes[i] = from[i];
  return {_mm256_loadu_ps(lanes), _mm256_loadu_ps(lanes + 8)};
}
inline void store_codes(std::int16_t* to, Lanes a) {
  // packs: the first four of both halves, then the last four.
  const __m256i words = _mm256_packs_epi32(_mm256_cvtps_epi32(a.low), _mm256_cvtps_epi32(a.high));
  const __m256i ordered = _mm256_permute4x64_epi64(words, 0xD8);
  const __m256i paired = _mm256_shufflehi_epi16(_mm256_shufflelo_epi16(ordered, 0xD8), 0xD8);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), paired);
}
inline void turn_eight(const char* rows, char* columns, std::int64_t step) {
  __m256 row[8];
  for (int i = 0; i < 8; ++i) row[i] = _mm256_loadu_ps(reinterpret_cast<const float*>(rows + 64 * i));
  __m256 pair[8];
  for (int i = 0; i < 8; i += 2) {
    pair[i] = _mm256_unpacklo_ps(row[i], row[i + 1]);
    pair[i + 1] = _mm256_unpackhi_ps(row[i], row[i + 1]);
  }
  __m256 four[8];
  for (int i = 0; i < 8; i += 4) {
    four[i] = _mm256_shuffle_ps(pair[i], pair[i + 2], 0x44);
    four[i + 1] = _mm256_shuffle_ps(pair[i], pair[i + 2], 0xEE);
    four[i + 2] = _mm256_shuffle_ps(pair[i + 1], pair[i + 3], 0x44);
    four[i + 3] = _mm256_shuffle_ps(pair[i + 1], pair[i + 3], 0xEE);
  }
  for (int i = 0; i < 4; ++i) {
    auto* const low = reinterpret_cast<float*>(columns + i * step);
    auto* const high = reinterpret_cast<float*>(columns + (i + 4) * step);
    _mm256_storeu_ps(low, _mm256_permute2f128_ps(four[i], four[i + 4], 0x20));
    _mm256_storeu_ps(high, _mm256_permute2f128_ps(four[i], four[i + 4], 0x31));
  }
}
inline void turn_words(const void* rows, void* columns, std::int64_t step) {
  for (int row = 0; row < 16; row += 8) {
    for (int column = 0; column < 16; column += 8) {
      turn_eight(static_cast<const char*>(rows) + 64 * row + 4 * column,
                 static_cast<char*>(columns) + column * step + 4 * row, step);
    }
  }
}

}  // namespace
}  // namespace powerhouse::cpu::POWERHOUSE_ISA_NAMESPACE
