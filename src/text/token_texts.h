// The bytes that each token of a vocabulary adds to a text, for whoever has to know what a token would say before it is
// said.
#pragma once

#include <string>
#include <vector>

#include "powerhouse/tokenizer.h"

namespace powerhouse {

struct TokenTexts {
  std::vector<std::string> texts{};  // by id; empty for special, unknown and unused tokens and for holes
  /// The same of a token that begins a text, where that is another: a blank put before a text is taken away again.
  /// Empty where it never is.
  std::vector<std::string> first_texts{};
};

/// Error{unsupported} for a tokenizer where a token's text depends on the tokens beside it.
TokenTexts token_texts(const Tokenizer& tokenizer);

}  // namespace powerhouse
