// What Python's str methods know about code points: classes and full case mapping (CPython 3.11, Unicode 14).
//
// Chat templates are Python programs in disguise; `role | upper` must print what jinja2 prints, ß as SS and a final
// sigma included. The tables are generated from Python itself.
#pragma once

#include <string>
#include <string_view>

namespace powerhouse::python_unicode {

bool is_space(char32_t c) noexcept;  // str.isspace, and what strip() and split() take for blank
bool is_alphabetic(char32_t c) noexcept;
bool is_decimal(char32_t c) noexcept;
bool is_digit(char32_t c) noexcept;
bool is_numeric(char32_t c) noexcept;
bool is_printable(char32_t c) noexcept;  // what repr() shows as it is
bool is_upper(char32_t c) noexcept;
bool is_lower(char32_t c) noexcept;
bool is_title(char32_t c) noexcept;
/// A line boundary of str.splitlines ("\r\n" counts once, which is the caller's business).
bool is_line_break(char32_t c) noexcept;

// str.upper, str.lower, str.title and str.capitalize of valid UTF-8.
std::string to_upper(std::string_view text);
std::string to_lower(std::string_view text);
std::string to_title(std::string_view text);
std::string capitalize(std::string_view text);

}  // namespace powerhouse::python_unicode
