// Patterns and choices as grammars.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "constraints/grammar.h"

namespace powerhouse::constraints {

/// Texts that a pattern of Python's matches as a whole.
Grammar regex_grammar(std::string_view pattern);
/// Error{usage} where there are none, Error{format} for one that is not valid UTF-8.
Grammar choices_grammar(std::span<const std::string> choices);

}  // namespace powerhouse::constraints
