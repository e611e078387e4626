// What a schema says of the types of its values, without reading all of it.
#include <charconv>

#include "text/tool_call_format.h"

namespace powerhouse {
namespace {

constexpr int kMostReferences = 32;  // one behind the other

/// What "#/..." refers to; nullptr where that is not there.
const Json* referred(std::string_view pointer, const Json& root) {
  if (!pointer.starts_with('#')) return nullptr;
  const Json* at = &root;
  for (pointer.remove_prefix(1); !pointer.empty() && at != nullptr;) {
    if (pointer.front() != '/') return nullptr;
    const std::size_t end = std::min(pointer.find('/', 1), pointer.size());
    const std::string_view key = pointer.substr(1, end - 1);
    pointer.remove_prefix(end);
    if (!at->is_array()) {
      at = at->get(key);
      continue;
    }
    std::size_t index = 0;
    std::from_chars(key.data(), key.data() + key.size(), index);
    at = index < at->as_array().size() ? &at->as_array()[index] : nullptr;
  }
  return at;
}

ValueTypes named(const Json& type) {
  for (std::size_t i = 0; type.is_string() && i < kValueTypes; ++i) {
    if (type.as_string() == type_name(static_cast<ValueType>(i))) return only(static_cast<ValueType>(i));
  }
  return ValueTypes().set();
}

ValueTypes types_of(const Json& schema, const Json& root, int references) {
  ValueTypes out = ValueTypes().set();
  if (!schema.is_object() || references > kMostReferences) return out;
  const auto united = [](const Json& list, const auto& types) {
    ValueTypes all;
    for (const Json& one : list.as_array()) all |= types(one);
    return all;
  };
  const auto deeper = [&](const Json& one) { return types_of(one, root, references + 1); };
  for (const auto& [key, value] : schema.as_object()) {
    if (key == "type") {
      out &= value.is_array() ? united(value, named) : named(value);
    } else if (key == "const") {
      out &= only(type_of(value));
    } else if (key == "enum" && value.is_array()) {
      out &= united(value, [](const Json& one) { return only(type_of(one)); });
    } else if ((key == "anyOf" || key == "oneOf") && value.is_array()) {
      out &= united(value, deeper);
    } else if (key == "allOf" && value.is_array()) {
      for (const Json& one : value.as_array()) out &= deeper(one);
    } else if (key == "$ref" && value.is_string()) {
      if (const Json* const target = referred(value.as_string(), root)) out &= deeper(*target);
    }
  }
  return out;
}

}  // namespace

ValueTypes value_types(const Json& schema, const Json& root) { return types_of(schema, root, 0); }

}  // namespace powerhouse
