#include "text/character_masks.h"

#include <bit>
#include <cstring>

#include "text/unicode.h"

namespace powerhouse {
namespace {

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

void CharacterMasks::read(std::string_view text, std::size_t at, const MaskKernel& kernel) {
  const std::size_t left = text.size() - at;
  const char* bytes = text.data() + at;
  char padded[kBytes];
  if (left < kBytes) {
    std::memset(padded, 0, sizeof padded);
    std::memcpy(padded, bytes, left);
    bytes = padded;
  }
  size = left < kBytes ? left : kBytes;
  continuation = 0;
  const std::uint64_t beyond = kernel.classify(bytes, *this);
  if (beyond != 0) add_others(bytes, beyond, *this);
  other = low_bits(size) & ~(letter | number | space);
}

}  // namespace powerhouse
