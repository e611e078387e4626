// json.dumps as the `tojson` filter of chat templates calls it: no HTML escapes, keys in insertion order.
#pragma once

#include <string>

#include "text/jinja_value.h"

namespace powerhouse::jinja {

struct JsonFormat {
  bool ensure_ascii = false;
  bool indented = false;
  std::string indent{};  // of one level
  std::string item_separator = ", ";
  std::string key_separator = ": ";
  bool sort_keys = false;
};

void append_json(Budget& budget, TextBuilder& out, const Value& value, const JsonFormat& format);

}  // namespace powerhouse::jinja
