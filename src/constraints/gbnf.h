// GBNF: llama.cpp's notation for grammars.
#pragma once

#include <string_view>

#include "constraints/grammar.h"
#include "powerhouse/tokenizer.h"

namespace powerhouse::constraints {

/// The grammar of a text. `tokenizer` knows the tokens that it names by their text (`<think>`); without one these are
/// an Error. Error{format} with line and column for what is malformed, Error{range} for a repetition that explodes.
Grammar parse_gbnf(std::string_view text, const Tokenizer* tokenizer);

}  // namespace powerhouse::constraints
