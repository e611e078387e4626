// Machines of texts that end where a mark comes, not where a quote does.
#pragma once

#include <string_view>

#include "constraints/text_machine.h"

namespace powerhouse::constraints {

/// Texts in which `mark` does not occur.
TextMachine texts_without(std::string_view mark);
/// Texts whose first character, blanks aside, is another one.
TextMachine texts_not_beginning(char32_t character);

}  // namespace powerhouse::constraints
