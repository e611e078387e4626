// Where the tokens of a text end in its bytes: what two tokenizations of one text have in common.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "powerhouse/tokenizer.h"

namespace powerhouse {

struct TokenEnds {
  std::string text{};  // what the tokens stand for, special ones as well
  /// The bytes of the text up to and with each token; -1 where the decoder still holds some back: a byte fallback that
  /// may yet become a character, blanks that the next token may take away.
  std::vector<std::int64_t> ends{};
};

/// Error{range} for an id outside the vocabulary.
TokenEnds token_ends(const Tokenizer& tokenizer, std::span<const std::int64_t> ids);

}  // namespace powerhouse
