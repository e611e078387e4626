// ValueNotation: how a chat template writes the values of arguments: as JSON, as Python does, or in a way of its own.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "support/json.h"

namespace powerhouse {

struct ValueNotation {
  enum class Strings {
    json,    // as JSON has them
    python,  // as Python's repr has them
    marked,  // between marks, as they are
  };
  Strings strings = Strings::json;
  std::string open = "\"", close = "\"";  // around strings
  bool bare_keys = false;                 // keys stand without them
  bool spaced = false;                    // a blank behind ',' and ':'
  std::string yes = "true", no = "false", none = "null";

  bool operator==(const ValueNotation&) const = default;
};

/// Whether a bare key may hold it: nothing else ends such a key.
bool is_key_character(char32_t character);

std::string written(const ValueNotation& notation, const Json& value);

/// The value that begins at `at`, which is set behind it; nothing where none does. JSON's own strings and words are
/// read too, as models write them whatever the template does.
std::optional<Json> read_value(const ValueNotation& notation, std::string_view text, std::size_t& at);

}  // namespace powerhouse
