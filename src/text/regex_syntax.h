// Oniguruma's regular expressions (Ruby's syntax, which tokenizer.json files are written in) as PCRE2's.
//
// Most of the two syntaxes is one. What is spelled alike but means something else is rewritten (\s \w \h, which differ
// in their sets) or refused by name; nothing is left to mean what it happens to mean.
#pragma once

#include <string>
#include <string_view>

namespace powerhouse {

/// Error{unsupported} naming the construct for what has no equal here.
std::string pcre_from_oniguruma(std::string_view pattern);

}  // namespace powerhouse
