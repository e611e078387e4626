// A splitter for the pattern of o200k (GPT-4o) and its relatives, in one pass:
//
//   P?U*L+C?|P?U+L*C?|\p{N}{1,n}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+
//
// P = [^\r\n\p{L}\p{N}], U and L are the letters of words in upper and in lower case, C the contractions ('s, 'll,
// ...). In the pattern proper U = [\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}] and L = [\p{Ll}\p{Lm}\p{Lo}\p{M}]; llama.cpp's
// adaptations tell only ASCII letters apart, or none.
#pragma once

#include <cstddef>
#include <string_view>

#include "text/piece_sink.h"

namespace powerhouse {

struct O200k {
  enum class Letters {
    cased,              // as the pattern says
    ascii_cased,        // U = \p{L} but a-z, L = \p{L} but A-Z
    ascii_cased_marks,  // the same of [\p{L}\p{M}]
    any_with_marks,     // U = L = [\p{L}\p{M}]
  } letters = Letters::cased;
  bool contractions = true;
  bool ascii_contractions = false;  // U+017F, the long s, is no s
  std::size_t max_numbers = 3;
};

void split_o200k(std::string_view text, const O200k& options, PieceSink sink);

}  // namespace powerhouse
