// 64 bytes at once, by instruction set. Each function names the instructions it may use itself (`target`), so that no
// other code of this file is compiled with them; the processor is asked once.
#include <array>
#include <bit>

#include "text/character_masks.h"

#if defined(__x86_64__) && defined(__GNUC__)
#define POWERHOUSE_MASKS_X86
#include <immintrin.h>
#endif

namespace powerhouse {
namespace {

#ifdef POWERHOUSE_MASKS_X86

std::uint64_t wide(int bits) { return static_cast<std::uint64_t>(static_cast<unsigned>(bits)); }

// Bytes in [first, first + count): moved so that they are the least signed ones.
__m128i in_range(__m128i text, char first, int count) {
  const __m128i moved = _mm_add_epi8(text, _mm_set1_epi8(static_cast<char>(-128 - first)));
  return _mm_cmplt_epi8(moved, _mm_set1_epi8(static_cast<char>(-128 + count)));
}

std::uint64_t classify_sse2(const char* bytes, CharacterMasks& out) {
  CharacterMasks found;
  std::uint64_t beyond = 0;
  for (int part = 0; part < 4; ++part) {
    const __m128i text = _mm_loadu_si128(reinterpret_cast<const __m128i*>(bytes) + part);
    const __m128i blank = _mm_cmpeq_epi8(text, _mm_set1_epi8(' '));
    const __m128i newline =
        _mm_or_si128(_mm_cmpeq_epi8(text, _mm_set1_epi8('\n')), _mm_cmpeq_epi8(text, _mm_set1_epi8('\r')));
    const __m128i space = _mm_or_si128(blank, in_range(text, '\t', 5));
    const __m128i letter = in_range(_mm_or_si128(text, _mm_set1_epi8(0x20)), 'a', 26);
    const int shift = 16 * part;
    found.letter |= wide(_mm_movemask_epi8(letter)) << shift;
    found.number |= wide(_mm_movemask_epi8(in_range(text, '0', 10))) << shift;
    found.space |= wide(_mm_movemask_epi8(space)) << shift;
    found.newline |= wide(_mm_movemask_epi8(newline)) << shift;
    found.blank |= wide(_mm_movemask_epi8(blank)) << shift;
    found.apostrophe |= wide(_mm_movemask_epi8(_mm_cmpeq_epi8(text, _mm_set1_epi8('\'')))) << shift;
    beyond |= wide(_mm_movemask_epi8(text)) << shift;
  }
  out.letter = found.letter;
  out.number = found.number;
  out.space = found.space;
  out.newline = found.newline;
  out.blank = found.blank;
  out.apostrophe = found.apostrophe;
  return beyond;
}

#define POWERHOUSE_AVX2 __attribute__((target("avx2,bmi,popcnt")))
#define POWERHOUSE_AVX512 __attribute__((target("avx512f,avx512bw,avx512vbmi2,bmi,popcnt")))

POWERHOUSE_AVX2 inline __m256i in_range_avx2(__m256i text, char first, int count) {
  const __m256i moved = _mm256_add_epi8(text, _mm256_set1_epi8(static_cast<char>(-128 - first)));
  return _mm256_cmpgt_epi8(_mm256_set1_epi8(static_cast<char>(-128 + count)), moved);
}

POWERHOUSE_AVX2 inline std::uint64_t bits_avx2(__m256i low, __m256i high) {
  return wide(_mm256_movemask_epi8(low)) | wide(_mm256_movemask_epi8(high)) << 32;
}

POWERHOUSE_AVX2 std::uint64_t classify_avx2(const char* bytes, CharacterMasks& out) {
  const __m256i a = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(bytes));
  const __m256i b = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(bytes) + 1);
  const __m256i lower = _mm256_set1_epi8(0x20);
  const __m256i blank = _mm256_set1_epi8(' ');
  const __m256i apostrophe = _mm256_set1_epi8('\'');
  const __m256i feed = _mm256_set1_epi8('\n');
  const __m256i carriage = _mm256_set1_epi8('\r');
  out.letter =
      bits_avx2(in_range_avx2(_mm256_or_si256(a, lower), 'a', 26), in_range_avx2(_mm256_or_si256(b, lower), 'a', 26));
  out.number = bits_avx2(in_range_avx2(a, '0', 10), in_range_avx2(b, '0', 10));
  out.blank = bits_avx2(_mm256_cmpeq_epi8(a, blank), _mm256_cmpeq_epi8(b, blank));
  out.space = out.blank | bits_avx2(in_range_avx2(a, '\t', 5), in_range_avx2(b, '\t', 5));
  out.newline = bits_avx2(_mm256_or_si256(_mm256_cmpeq_epi8(a, feed), _mm256_cmpeq_epi8(a, carriage)),
                          _mm256_or_si256(_mm256_cmpeq_epi8(b, feed), _mm256_cmpeq_epi8(b, carriage)));
  out.apostrophe = bits_avx2(_mm256_cmpeq_epi8(a, apostrophe), _mm256_cmpeq_epi8(b, apostrophe));
  return bits_avx2(a, b);
}

// Eight at a time whether they are there or not: the loop's end is hard to foretell, whole eights are not.
POWERHOUSE_AVX2 std::size_t places_avx2(std::uint64_t bits, std::size_t base, std::size_t* out) {
  const auto count = static_cast<std::size_t>(_mm_popcnt_u64(bits));
  for (std::size_t done = 0; done < count; done += 8) {
    for (std::size_t i = 0; i < 8; ++i) {
      out[done + i] = base + _tzcnt_u64(bits);
      bits = _blsr_u64(bits);
    }
  }
  return count;
}

POWERHOUSE_AVX512 inline std::uint64_t in_range_avx512(__m512i text, char first, char count) {
  return _mm512_cmplt_epu8_mask(_mm512_sub_epi8(text, _mm512_set1_epi8(first)), _mm512_set1_epi8(count));
}

POWERHOUSE_AVX512 std::uint64_t classify_avx512(const char* bytes, CharacterMasks& out) {
  const __m512i text = _mm512_loadu_si512(bytes);
  out.letter = in_range_avx512(_mm512_or_si512(text, _mm512_set1_epi8(0x20)), 'a', 26);
  out.number = in_range_avx512(text, '0', 10);
  out.blank = _mm512_cmpeq_epi8_mask(text, _mm512_set1_epi8(' '));
  out.space = out.blank | in_range_avx512(text, '\t', 5);
  out.newline =
      _mm512_cmpeq_epi8_mask(text, _mm512_set1_epi8('\n')) | _mm512_cmpeq_epi8_mask(text, _mm512_set1_epi8('\r'));
  out.apostrophe = _mm512_cmpeq_epi8_mask(text, _mm512_set1_epi8('\''));
  return _mm512_movepi8_mask(text);
}

constexpr std::array<char, 64> kPlaces = [] {
  std::array<char, 64> places{};
  for (std::size_t i = 0; i < places.size(); ++i) places[i] = static_cast<char>(i);
  return places;
}();

POWERHOUSE_AVX512 std::size_t places_avx512(std::uint64_t bits, std::size_t base, std::size_t* out) {
  alignas(64) char packed[64];
  _mm512_store_si512(packed, _mm512_maskz_compress_epi8(bits, _mm512_loadu_si512(kPlaces.data())));
  const auto count = static_cast<std::size_t>(_mm_popcnt_u64(bits));
  const __m512i start = _mm512_set1_epi64(static_cast<long long>(base));
  for (std::size_t done = 0; done < count; done += 8) {
    const __m512i eight = _mm512_cvtepu8_epi64(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(packed + done)));
    _mm512_storeu_si512(out + done, _mm512_add_epi64(eight, start));
  }
  return count;
}

#undef POWERHOUSE_AVX2
#undef POWERHOUSE_AVX512

#endif

std::uint64_t classify_plain(const char* bytes, CharacterMasks& out) {
  std::uint64_t beyond = 0;
  out.letter = out.number = out.space = out.newline = out.blank = out.apostrophe = 0;
  for (std::size_t i = 0; i < CharacterMasks::kBytes; ++i) {
    const auto byte = static_cast<unsigned char>(bytes[i]);
    const auto bit = [&](bool set) { return std::uint64_t{set} << i; };
    out.letter |= bit(static_cast<unsigned char>((byte | 0x20) - 'a') < 26);
    out.number |= bit(static_cast<unsigned char>(byte - '0') < 10);
    out.space |= bit(byte == ' ' || static_cast<unsigned char>(byte - '\t') < 5);
    out.newline |= bit(byte == '\n' || byte == '\r');
    out.blank |= bit(byte == ' ');
    out.apostrophe |= bit(byte == '\'');
    beyond |= bit(byte >= 0x80);
  }
  return beyond;
}

std::size_t places_plain(std::uint64_t bits, std::size_t base, std::size_t* out) {
  std::size_t count = 0;
  for (; bits != 0; bits &= bits - 1) out[count++] = base + static_cast<std::size_t>(std::countr_zero(bits));
  return count;
}

}  // namespace

std::span<const MaskKernel> mask_kernels() {
  static const auto kernels = [] {
    std::array<MaskKernel, 4> all{};
    std::size_t count = 0;
#ifdef POWERHOUSE_MASKS_X86
    const bool has_bits = __builtin_cpu_supports("bmi") != 0 && __builtin_cpu_supports("popcnt") != 0;
    if (has_bits && __builtin_cpu_supports("avx512bw") != 0 && __builtin_cpu_supports("avx512vbmi2") != 0) {
      all[count++] = {"avx512", classify_avx512, places_avx512};
    }
    if (has_bits && __builtin_cpu_supports("avx2") != 0) all[count++] = {"avx2", classify_avx2, places_avx2};
    all[count++] = {"sse2", classify_sse2, places_plain};
#endif
    all[count++] = {"plain", classify_plain, places_plain};
    return std::pair(all, count);
  }();
  return {kernels.first.data(), kernels.second};
}

}  // namespace powerhouse
