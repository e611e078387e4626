// Json: a value that keeps the order of object keys, as Python's json does, and never trusts its input.
//
// Parsing and printing are nlohmann's (hidden in json_text.cpp); what is ours is the value: ordered objects with
// indexed lookup, so that a tokenizer's vocabulary of 50,000 keys loads in linear time, and a bounded depth.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace powerhouse {

class Json;

/// An object in insertion order. A repeated key keeps its first place and takes the last value, as in Python: in
/// configs, tokenizers and rows to train on alike.
class JsonObject {
 public:
  using Member = std::pair<std::string, Json>;

  JsonObject();
  JsonObject(const JsonObject&);
  JsonObject(JsonObject&&) noexcept;
  JsonObject& operator=(JsonObject);
  ~JsonObject();

  const Json* find(std::string_view key) const;
  Json* find(std::string_view key);
  Json& operator[](std::string_view key);  // inserts null
  std::size_t size() const noexcept;
  const Member* begin() const noexcept;
  const Member* end() const noexcept;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

class Json {
 public:
  using Array = std::vector<Json>;

  Json() = default;
  Json(std::nullptr_t) {}
  Json(bool value) : value_(value) {}
  Json(std::int64_t value) : value_(value) {}
  Json(int value) : value_(static_cast<std::int64_t>(value)) {}
  Json(std::uint64_t value);  // beyond int64: a double as JavaScript would have it, with its digits (wide_integer)
  Json(double value) : value_(value) {}
  Json(std::string value) : value_(std::move(value)) {}
  Json(std::string_view value) : value_(std::string(value)) {}
  Json(const char* value) : value_(std::string(value)) {}
  Json(Array value) : value_(std::move(value)) {}
  Json(JsonObject value) : value_(std::move(value)) {}

  /// An integer of any number of digits, e.g. "-12345678901234567890".
  static Json wide(std::string digits, double value);
  /// `origin` names the text in errors. Depth is at most 200. Throws Error{format} with the byte offset.
  static Json parse(std::string_view text, std::string_view origin);
  /// Reads and parses a file; errors name it. A file over `max_bytes` is an Error before it is read.
  static Json parse_file(const std::string& path, std::uint64_t max_bytes = std::uint64_t{1} << 30);
  /// JSON text; `indent` < 0 gives one line. Non-ASCII stays UTF-8; invalid UTF-8 becomes U+FFFD.
  std::string dump(int indent = -1) const;

  bool is_null() const { return std::holds_alternative<std::monostate>(value_); }
  bool is_bool() const { return std::holds_alternative<bool>(value_); }
  bool is_integer() const { return std::holds_alternative<std::int64_t>(value_); }
  bool is_double() const { return std::holds_alternative<double>(value_) || wide_integer() != nullptr; }
  /// The digits of an integer beyond 64 bits, for which as_double() gives the nearest double; else nullptr.
  const std::string* wide_integer() const {
    const auto* wide = std::get_if<WideInteger>(&value_);
    return wide == nullptr ? nullptr : &wide->digits;
  }
  bool is_number() const { return is_integer() || is_double(); }
  bool is_string() const { return std::holds_alternative<std::string>(value_); }
  bool is_array() const { return std::holds_alternative<Array>(value_); }
  bool is_object() const { return std::holds_alternative<JsonObject>(value_); }
  std::string_view type_name() const;

  // Typed access: Error{format} naming `what` where the type differs.
  bool as_bool(std::string_view what = "value") const;
  std::int64_t as_integer(std::string_view what = "value") const;  // accepts 5.0
  double as_double(std::string_view what = "value") const;         // accepts integers
  const std::string& as_string(std::string_view what = "value") const;
  const Array& as_array(std::string_view what = "value") const;
  Array& as_array(std::string_view what = "value");
  const JsonObject& as_object(std::string_view what = "value") const;
  JsonObject& as_object(std::string_view what = "value");

  /// The member, or nullptr where this is no object, has no such key, or holds null there.
  const Json* get(std::string_view key) const;
  /// The member, or Error{format} naming the missing key.
  const Json& at(std::string_view key) const;
  std::string string_or(std::string_view key, std::string_view otherwise) const;
  std::int64_t integer_or(std::string_view key, std::int64_t otherwise) const;
  double double_or(std::string_view key, double otherwise) const;
  bool bool_or(std::string_view key, bool otherwise) const;

 private:
  struct WideInteger {
    std::string digits;
    double value = 0;
  };
  std::variant<std::monostate, bool, std::int64_t, double, std::string, Array, JsonObject, WideInteger> value_;
};

}  // namespace powerhouse
