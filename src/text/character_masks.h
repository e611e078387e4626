// CharacterMasks: 64 bytes of text as bits, one mask for each kind of character that the byte-level patterns tell
// apart. Splitters then find where words begin by shifts and ands, for 64 bytes at a time (text/word_scanner.h), which
// is how simdjson finds the structure of JSON (Langdale and Lemire 2019).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace powerhouse {

/// The bits of the first `count` bytes.
constexpr std::uint64_t low_bits(std::size_t count) {
  return count >= 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << count) - 1;
}

struct CharacterMasks;

/// What one instruction set does with 64 bytes and their masks.
struct MaskKernel {
  const char* name;
  /// Sets the masks of 64 bytes but for `other` and `continuation`, as if all were ASCII; gives those that are not.
  std::uint64_t (*classify)(const char* bytes, CharacterMasks& out);
  /// Writes `base` plus the place of each bit, lowest first, and gives their number. 64 may be written.
  std::size_t (*places)(std::uint64_t bits, std::size_t base, std::size_t* out);
};

/// Those that this processor can run, the fastest first.
std::span<const MaskKernel> mask_kernels();

struct CharacterMasks {
  static constexpr std::size_t kBytes = 64;

  // Every byte of a character has its bit in the mask of the character's class.
  std::uint64_t letter = 0;
  std::uint64_t number = 0;
  std::uint64_t space = 0;
  std::uint64_t other = 0;
  std::uint64_t newline = 0;       // \r and \n, which are space too
  std::uint64_t blank = 0;         // ' ', likewise
  std::uint64_t apostrophe = 0;    // ', which is of the others
  std::uint64_t continuation = 0;  // bytes that go on with a character
  std::size_t size = 0;            // bytes that the masks speak of; ends between characters

  /// Makes these the masks of the block that begins at `at`, a boundary before the end of valid UTF-8 text.
  void read(std::string_view text, std::size_t at, const MaskKernel& kernel);
};

}  // namespace powerhouse
