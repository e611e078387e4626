#include "text/character_masks.h"

#include <bit>
#include <cstring>

#include "text/unicode.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

namespace powerhouse {
namespace {

constexpr std::size_t kBytes = CharacterMasks::kBytes;

constexpr std::uint64_t low_bits(std::size_t count) {
  return count >= 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << count) - 1;
}

#ifdef __SSE2__

// SSE2 is part of every x86-64. Wider vectors were not worth a dispatch: this is a tenth of the time of encoding.
std::uint64_t classify_ascii(const char* bytes, CharacterMasks& out) {
  std::uint64_t beyond = 0;  // bytes that are no ASCII
  const auto below = [](__m128i value, char first, int count) {
    const __m128i moved = _mm_add_epi8(value, _mm_set1_epi8(static_cast<char>(-128 - first)));
    return _mm_cmplt_epi8(moved, _mm_set1_epi8(static_cast<char>(-128 + count)));
  };
  const auto bits = [](__m128i value) {
    return static_cast<std::uint64_t>(static_cast<unsigned>(_mm_movemask_epi8(value)));
  };
  for (int part = 0; part < 4; ++part) {
    const __m128i text = _mm_loadu_si128(reinterpret_cast<const __m128i*>(bytes) + part);
    const __m128i blank = _mm_cmpeq_epi8(text, _mm_set1_epi8(' '));
    const __m128i newline =
        _mm_or_si128(_mm_cmpeq_epi8(text, _mm_set1_epi8('\n')), _mm_cmpeq_epi8(text, _mm_set1_epi8('\r')));
    const int shift = 16 * part;
    out.letter |= bits(below(_mm_or_si128(text, _mm_set1_epi8(0x20)), 'a', 26)) << shift;
    out.number |= bits(below(text, '0', 10)) << shift;
    out.space |= bits(_mm_or_si128(blank, below(text, '\t', 5))) << shift;
    out.newline |= bits(newline) << shift;
    out.blank |= bits(blank) << shift;
    out.apostrophe |= bits(_mm_cmpeq_epi8(text, _mm_set1_epi8('\''))) << shift;
    beyond |= bits(text) << shift;
  }
  return beyond;
}

#else

std::uint64_t classify_ascii(const char* bytes, CharacterMasks& out) {
  std::uint64_t beyond = 0;
  for (std::size_t i = 0; i < kBytes; ++i) {
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

#endif

// The characters beyond ASCII, one by one; the block ends before one that does not fit.
void add_others(const char* bytes, std::uint64_t beyond, CharacterMasks& out) {
  const std::string_view text(bytes, out.size);
  while (beyond != 0) {
    const auto at = static_cast<std::size_t>(std::countr_zero(beyond));
    const std::size_t length = unicode::sequence_length(text[at]);
    if (at + length > out.size) {
      out.size = at;
      return;
    }
    const std::uint64_t whole = low_bits(length) << at;
    switch (unicode::classify(unicode::character_at(text, at).code_point)) {
      case unicode::Class::letter: out.letter |= whole; break;
      case unicode::Class::number: out.number |= whole; break;
      case unicode::Class::space: out.space |= whole; break;
      case unicode::Class::other: break;
    }
    out.continuation |= whole & ~(std::uint64_t{1} << at);
    beyond &= ~whole;
  }
}

}  // namespace

CharacterMasks CharacterMasks::of(std::string_view text, std::size_t at) {
  CharacterMasks out;
  const std::size_t left = text.size() - at;
  const char* bytes = text.data() + at;
  char padded[kBytes];
  if (left < kBytes) {
    std::memset(padded, 0, sizeof padded);
    std::memcpy(padded, bytes, left);
    bytes = padded;
  }
  out.size = left < kBytes ? left : kBytes;
  const std::uint64_t beyond = classify_ascii(bytes, out);
  if (beyond != 0) add_others(bytes, beyond, out);
  out.other = low_bits(out.size) & ~(out.letter | out.number | out.space);
  return out;
}

}  // namespace powerhouse
