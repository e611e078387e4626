// The named sets of regular expressions: \d, \w, \s, the dot, \p{...}.
#pragma once

#include <optional>
#include <string_view>

#include "constraints/code_points.h"
#include "constraints/regex_parser.h"

namespace powerhouse::constraints {

/// Of 'd', 'w', 's' and their complements 'D', 'W', 'S'. With `beyond` the most that any dialect takes.
CodePoints shorthand(char name, RegexDialect dialect, bool beyond);
CodePoints any_but_line_ends(RegexDialect dialect);
/// A general category of Unicode by its short name ("L", "Lu", "Nd"); nothing where there is none such.
std::optional<CodePoints> category_set(std::string_view name);

}  // namespace powerhouse::constraints
