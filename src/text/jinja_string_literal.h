// The escapes of a Python string literal, as jinja2's lexer reads them ("unicode-escape" over backslash-replaced text).
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace powerhouse::jinja {

/// The text of what stands between the quotes; nothing, and `problem`, where an escape is broken. Unknown escapes stay
/// as they are. A problem that begins with "\N" is valid Python that we have no names for.
std::optional<std::string> read_string_literal(std::string_view body, std::string& problem);

}  // namespace powerhouse::jinja
