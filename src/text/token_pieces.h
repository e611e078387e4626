// TokenPieces: what each token of a GGUF file stands for in a text, as bytes: llama.cpp's token_to_piece. There it
// depends on the token's type, and no decoder of tokenizer.json's kind says so.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace powerhouse {

struct TokenPieces {
  enum class Kind : std::uint8_t {
    nothing,   // unused tokens
    verbatim,  // special and user-defined ones
    alphabet,  // spelled in the byte-level alphabet
    blanks,    // blanks spelled as U+2581
    byte,      // <0xNN>
  };

  std::vector<Kind> kinds;   // by id; empty where a tokenizer decodes otherwise
  bool drops_first = false;  // a blank that the first token begins with was put before the text

  /// The bytes of a token; `first` where no other has been shown before.
  std::string bytes(std::size_t id, std::string_view text, bool first) const;
};

}  // namespace powerhouse
