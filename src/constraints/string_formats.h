// The `format`s of JSON schemas as regular expressions.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace powerhouse::constraints {

/// The pattern of a format, of whole strings; nothing where there is none of that name. Each is as wide as its standard
/// where that is regular, and narrower where checkers disagree.
std::optional<std::string> format_pattern(std::string_view name);
/// Formats that say how a number or a text is used, and nothing about how it is written.
bool is_annotation_format(std::string_view name);

}  // namespace powerhouse::constraints
