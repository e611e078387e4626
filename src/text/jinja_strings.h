// Strings as Python sees them, over UTF-8: offsets of code points, searching in linear time, stripping, splitting.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "text/jinja_value.h"

namespace powerhouse::jinja {

/// Bytes of the code point at byte offset `at` of valid UTF-8.
std::size_t code_point_bytes(std::string_view text, std::size_t at);
/// The byte offset of a code point's index; the size where index == length.
std::size_t byte_offset(const Text& text, std::size_t index);
/// The index of the code point at a byte offset.
std::size_t code_point_index(const Text& text, std::size_t offset);
/// The byte offset of every code point, and the size at the end.
std::vector<std::size_t> code_point_offsets(Budget& budget, const Text& text);

/// As std::string_view::find, but never worse than linear.
std::size_t find_text(std::string_view text, std::string_view wanted, std::size_t from);

enum class Side { left, right, both };
/// str.strip and its kin; without `characters` it strips Python's white space.
std::string_view strip(Budget& budget, std::string_view text, Side side, const Text* characters);

/// str.splitlines
std::vector<std::string_view> split_lines(Budget& budget, std::string_view text, bool keep_ends);

/// str.islower and str.isupper: some letter has case, and none has the other one.
bool is_lower_case(Budget& budget, std::string_view text);
bool is_upper_case(Budget& budget, std::string_view text);

/// str(value): appends to `out`.
void append_string(Budget& budget, TextBuilder& out, const Value& value);
/// repr(value)
void append_repr(Budget& budget, TextBuilder& out, const Value& value);
/// str(value) as a string value; a string stays as it is (its Markup too).
Value to_text(Budget& budget, const Value& value);
/// Python's repr of a float: the shortest digits that read back the same.
std::string float_repr(double value);
/// The reading of float(text): nothing where Python raises ValueError.
std::optional<double> parse_float(std::string_view text);
/// int(text, base); nothing where Python raises ValueError. Beyond 64 bits it fails.
/// int(text, base) of any size; nothing where it is no integer or has more digits than Python reads.
std::optional<Value> parse_whole(Budget& budget, std::string_view text, int base);
/// The decimal digits of an int. Fails where Python prints none.
std::string integer_text(const Value& value);
std::optional<std::int64_t> parse_integer(std::string_view text, int base);

}  // namespace powerhouse::jinja
