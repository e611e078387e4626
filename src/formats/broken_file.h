// What readers say of a file that is not as its format wants it.
#pragma once

#include <string>
#include <string_view>
#include <utility>

#include "powerhouse/error.h"

namespace powerhouse {

/// Error{format}.
[[noreturn]] inline void broken_file(const std::string& file, std::string_view field, std::string_view message,
                                     std::string expected = {}, std::string found = {}) {
  throw Error(ErrorKind::format, message,
              {.file = file, .field = std::string(field), .expected = std::move(expected), .found = std::move(found)});
}

}  // namespace powerhouse
