#include "text/byte_level.h"

#include "support/utf8.h"

namespace powerhouse {
namespace {

// kNone where a character is outside the alphabet, else its byte. The alphabet ends at U+0143.
constexpr short kNone = -1;
constexpr std::size_t kCharacters = 0x144;

constexpr std::array<short, kCharacters> make_bytes() {
  std::array<short, kCharacters> bytes{};
  for (short& byte : bytes) byte = kNone;
  for (std::size_t byte = 0; byte < 256; ++byte) bytes[kByteAlphabet[byte]] = static_cast<short>(byte);
  return bytes;
}
constexpr std::array<short, kCharacters> kBytes = make_bytes();

}  // namespace

std::optional<unsigned char> byte_of_character(char32_t character) {
  if (character >= kCharacters || kBytes[character] == kNone) return std::nullopt;
  return static_cast<unsigned char>(kBytes[character]);
}

void append_byte_level(std::string& out, std::string_view bytes) {
  for (const char byte : bytes) append_utf8(out, kByteAlphabet[static_cast<unsigned char>(byte)]);
}

void append_from_byte_level(std::string& out, std::string_view token) {
  const std::size_t start = out.size();
  for (std::size_t at = 0; at < token.size();) {
    const Utf8Step step = decode_utf8(token.substr(at));
    const auto byte = step.valid ? byte_of_character(step.code_point) : std::nullopt;
    if (!byte) {
      out.resize(start);
      out.append(token);
      return;
    }
    out += static_cast<char>(*byte);
    at += step.length;
  }
}

}  // namespace powerhouse
