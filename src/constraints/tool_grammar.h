// The grammar of text with calls of tools.
#pragma once

#include <string_view>

#include "constraints/grammar.h"
#include "powerhouse/tool_calls.h"

namespace powerhouse::constraints {

Grammar tool_grammar(const Tokenizer& tokenizer, const ToolCallFormat& format, std::string_view tools,
                     const ToolChoice& choice);

}  // namespace powerhouse::constraints
