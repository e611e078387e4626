// Learns a notation of values from what a template makes of them.
#pragma once

#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "text/value_notation.h"

namespace powerhouse {

struct TextPlace {
  std::size_t begin = 0, end = 0;
};

/// Where a value stands, behind `from`; JSON's arrays and objects with blanks or without.
std::optional<TextPlace> place_of(std::string_view text, const Json& value, std::size_t from,
                                  const ValueNotation& notation);

/// What arrays and objects are tried with, whose notation is told by what stands around their text.
Json probe_array();
Json probe_object();

/// How a value that stands behind `from` is written; nothing where that is not understood. `render` gives what the
/// template makes of another value.
std::optional<ValueNotation> learn_notation(const Json& value, std::string_view text, std::size_t from,
                                            const std::function<std::optional<std::string>(const Json&)>& render);

}  // namespace powerhouse
