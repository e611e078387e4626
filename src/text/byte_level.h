// The byte-level alphabet of GPT-2: each byte is one printable character, so that a vocabulary is made of text.
//
// Bytes that print in Latin-1 (0x21-0x7E, 0xA1-0xAC, 0xAE-0xFF) stand for themselves; the other 68 are U+0100 and on,
// in the order of the bytes.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>

namespace powerhouse {

namespace detail {
constexpr std::array<char16_t, 256> make_byte_alphabet() {
  std::array<char16_t, 256> alphabet{};
  char16_t next = 0x100;
  for (unsigned byte = 0; byte < 256; ++byte) {
    const bool printable = (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
    alphabet[byte] = printable ? static_cast<char16_t>(byte) : next++;
  }
  return alphabet;
}
}  // namespace detail

/// The character of each byte.
constexpr std::array<char16_t, 256> kByteAlphabet = detail::make_byte_alphabet();

/// The byte that a character stands for.
std::optional<unsigned char> byte_of_character(char32_t character);

/// Appends the alphabet's spelling of `bytes`.
void append_byte_level(std::string& out, std::string_view bytes);

/// Appends the bytes that `token` spells; a token with a character outside the alphabet is appended as it stands, as
/// `tokenizers` does.
void append_from_byte_level(std::string& out, std::string_view token);

}  // namespace powerhouse
