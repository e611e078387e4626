// Which tokens of a rendered conversation are the assistant's (transformers' `return_assistant_tokens_mask`).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "powerhouse/tokenizer.h"

namespace powerhouse {

/// Where code points begin in a text.
class CodePointOffsets {
 public:
  explicit CodePointOffsets(std::string_view text);
  /// The byte at which a code point begins; the text's end for those beyond it.
  std::size_t byte_of(std::size_t code_point) const;

 private:
  std::vector<std::size_t> begins_;  // of each code point, and the text's end
};

/// 1 for each token that belongs to one of `spans` (in code points), by transformers' rules: from the token that holds
/// the first character to the first that holds the last; to the end where none does or it is token 0; and nothing more
/// once a span begins in no token. Error{format} for an empty span at the beginning, where transformers fails too.
std::vector<std::uint8_t> assistant_tokens(std::span<const TokenOffsets> offsets,
                                           std::span<const std::pair<std::size_t, std::size_t>> spans);

}  // namespace powerhouse
