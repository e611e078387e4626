// Typed look-ups in GGUF metadata.
#include <cstring>

#include "formats/gguf_reader.h"
#include "powerhouse/error.h"

namespace powerhouse {
namespace {

[[noreturn]] void wrong_type(const GgufFile& file, std::string_view key, std::string_view expected, GgufType found) {
  throw Error(ErrorKind::format, "wrong metadata type",
              {.file = file.path(),
               .field = std::string(key),
               .expected = std::string(expected),
               .found = std::string(to_string(found))});
}

[[noreturn]] void missing(const GgufFile& file, std::string_view key) {
  throw Error(ErrorKind::format, "missing key", {.file = file.path(), .field = std::string(key)});
}

template <typename T, typename Out>
void append(const GgufArray& array, std::vector<Out>& out) {
  for (std::uint64_t i = 0; i < array.count; ++i) {
    T value;
    std::memcpy(&value, array.bytes.data() + i * sizeof(T), sizeof value);
    out.push_back(static_cast<Out>(value));
  }
}

// The elements of a numeric array; false for strings, arrays and, for integers, floats.
template <typename Out>
bool elements(const GgufArray& array, std::vector<Out>& out) {
  out.reserve(array.count);
  switch (array.element) {
    case GgufType::u8:
    case GgufType::boolean: append<std::uint8_t>(array, out); return true;
    case GgufType::i8: append<std::int8_t>(array, out); return true;
    case GgufType::u16: append<std::uint16_t>(array, out); return true;
    case GgufType::i16: append<std::int16_t>(array, out); return true;
    case GgufType::u32: append<std::uint32_t>(array, out); return true;
    case GgufType::i32: append<std::int32_t>(array, out); return true;
    case GgufType::u64: append<std::uint64_t>(array, out); return true;
    case GgufType::i64: append<std::int64_t>(array, out); return true;
    case GgufType::f32:
      if constexpr (std::is_integral_v<Out>) return false;
      append<float>(array, out);
      return true;
    case GgufType::f64:
      if constexpr (std::is_integral_v<Out>) return false;
      append<double>(array, out);
      return true;
    case GgufType::string:
    case GgufType::array: return false;
  }
  return false;
}

}  // namespace

std::optional<std::int64_t> GgufFile::integer(std::string_view key) const {
  const GgufValue* found = find(key);
  if (found == nullptr) return std::nullopt;
  if (const auto* value = std::get_if<std::int64_t>(&found->value)) return *value;
  wrong_type(*this, key, "an integer of at most 63 bits", found->type);
}

std::optional<double> GgufFile::number(std::string_view key) const {
  const GgufValue* found = find(key);
  if (found == nullptr) return std::nullopt;
  if (const auto* value = std::get_if<double>(&found->value)) return *value;
  if (const auto* value = std::get_if<std::int64_t>(&found->value)) return static_cast<double>(*value);
  wrong_type(*this, key, "a number", found->type);
}

std::optional<bool> GgufFile::boolean(std::string_view key) const {
  const GgufValue* found = find(key);
  if (found == nullptr) return std::nullopt;
  if (const auto* value = std::get_if<bool>(&found->value)) return *value;
  wrong_type(*this, key, "bool", found->type);
}

std::optional<std::string_view> GgufFile::string(std::string_view key) const {
  const GgufValue* found = find(key);
  if (found == nullptr) return std::nullopt;
  if (const auto* value = std::get_if<std::string_view>(&found->value)) return *value;
  wrong_type(*this, key, "string", found->type);
}

const GgufArray* GgufFile::array(std::string_view key) const {
  const GgufValue* found = find(key);
  return found == nullptr ? nullptr : std::get_if<GgufArray>(&found->value);
}

std::optional<std::vector<std::int64_t>> GgufFile::integers(std::string_view key) const {
  const GgufArray* found = array(key);
  if (found == nullptr) {
    const auto one = integer(key);
    return one ? std::optional(std::vector<std::int64_t>{*one}) : std::nullopt;
  }
  std::vector<std::int64_t> values;
  if (!elements(*found, values)) wrong_type(*this, key, "an array of integers", found->element);
  return values;
}

std::optional<std::vector<double>> GgufFile::numbers(std::string_view key) const {
  const GgufArray* found = array(key);
  if (found == nullptr) {
    const auto one = number(key);
    return one ? std::optional(std::vector<double>{*one}) : std::nullopt;
  }
  std::vector<double> values;
  if (!elements(*found, values)) wrong_type(*this, key, "an array of numbers", found->element);
  return values;
}

const std::vector<std::string_view>* GgufFile::strings(std::string_view key) const {
  const GgufValue* found = find(key);
  if (found == nullptr) return nullptr;
  const auto* values = std::get_if<GgufArray>(&found->value);
  if (values == nullptr || values->element != GgufType::string) {
    wrong_type(*this, key, "an array of strings", values == nullptr ? found->type : values->element);
  }
  return &values->strings;
}

std::int64_t GgufFile::require_integer(std::string_view key) const {
  if (const auto value = integer(key)) return *value;
  missing(*this, key);
}

double GgufFile::require_number(std::string_view key) const {
  if (const auto value = number(key)) return *value;
  missing(*this, key);
}

std::string_view GgufFile::require_string(std::string_view key) const {
  if (const auto value = string(key)) return *value;
  missing(*this, key);
}

}  // namespace powerhouse
