// JSON as text: parsing and printing, by nlohmann.
#include <nlohmann/json.hpp>

#include "powerhouse/error.h"
#include "support/json.h"

namespace powerhouse {

namespace {

constexpr std::size_t kMaxDepth = 200;

// Receives nlohmann's parse events and builds our value; the stack is explicit, so depth costs no machine stack.
class Builder {
 public:
  using number_integer_t = nlohmann::json::number_integer_t;
  using number_unsigned_t = nlohmann::json::number_unsigned_t;
  using number_float_t = nlohmann::json::number_float_t;
  using string_t = nlohmann::json::string_t;
  using binary_t = nlohmann::json::binary_t;

  explicit Builder(std::string_view origin) : origin_(origin) {}

  bool null() { return add(Json()); }
  bool boolean(bool value) { return add(Json(value)); }
  bool number_integer(number_integer_t value) { return add(Json(static_cast<std::int64_t>(value))); }
  bool number_unsigned(number_unsigned_t value) { return add(Json(static_cast<std::uint64_t>(value))); }
  bool number_float(number_float_t value, const string_t& text) {
    // nlohmann reads integers beyond 64 bits as floats.
    if (text.find_first_of(".eE") != string_t::npos) return add(Json(value));
    return add(Json::wide(text, value));
  }
  bool string(string_t& value) { return add(Json(std::move(value))); }
  bool binary(binary_t&) { return false; }
  bool start_object(std::size_t) { return open(Json(JsonObject())); }
  bool start_array(std::size_t) { return open(Json(Json::Array())); }
  bool end_object() { return close(); }
  bool end_array() { return close(); }
  bool key(string_t& value) {
    key_ = std::move(value);
    return true;
  }
  bool parse_error(std::size_t position, const std::string&, const nlohmann::detail::exception& error) {
    // nlohmann's sentence begins with its own error code in brackets; the rest says what was met.
    std::string_view what = error.what();
    if (const auto bracket = what.find("] "); bracket != std::string_view::npos) what.remove_prefix(bracket + 2);
    throw Error(ErrorKind::format, "invalid JSON: " + std::string(what),
                {.file = origin_, .field = "byte " + std::to_string(position)});
  }

  Json take() { return std::move(root_); }

 private:
  bool add(Json value) {
    place(std::move(value));
    return true;
  }
  Json* place(Json value) {
    if (stack_.empty()) {
      root_ = std::move(value);
      return &root_;
    }
    Json& parent = *stack_.back();
    if (parent.is_array()) {
      parent.as_array().push_back(std::move(value));
      return &parent.as_array().back();
    }
    Json& slot = parent.as_object()[key_];
    slot = std::move(value);
    return &slot;
  }
  bool open(Json value) {
    if (stack_.size() >= kMaxDepth) {
      throw Error(ErrorKind::format, "JSON nested too deeply",
                  {.file = origin_, .expected = "at most " + std::to_string(kMaxDepth) + " levels"});
    }
    stack_.push_back(place(std::move(value)));
    return true;
  }
  bool close() {
    stack_.pop_back();
    return true;
  }

  std::string origin_;
  Json root_;
  std::vector<Json*> stack_;  // stable: a container grows only while it is the top of the stack
  std::string key_;
};

nlohmann::ordered_json to_nlohmann(const Json& value) {
  if (value.is_bool()) return value.as_bool();
  if (value.is_integer()) return value.as_integer();
  if (value.is_double()) return value.as_double();
  if (value.is_string()) return value.as_string();
  if (value.is_array()) {
    auto out = nlohmann::ordered_json::array();
    for (const Json& element : value.as_array()) out.push_back(to_nlohmann(element));
    return out;
  }
  if (value.is_object()) {
    // Keys are unique already, so the members go in directly; operator[] would search for each, in quadratic time.
    auto out = nlohmann::ordered_json::object();
    auto& members = out.get_ref<nlohmann::ordered_json::object_t&>();
    for (const auto& [key, member] : value.as_object()) {
      static_cast<nlohmann::ordered_json::object_t::Container&>(members).emplace_back(key, to_nlohmann(member));
    }
    return out;
  }
  return nullptr;
}

}  // namespace

Json Json::parse(std::string_view text, std::string_view origin) {
  Builder builder(origin);
  // nlohmann takes a zero byte for the end and would not look at what comes after.
  if (const auto zero = text.find('\0'); zero != std::string_view::npos) {
    throw Error(ErrorKind::format, "invalid JSON: a zero byte",
                {.file = std::string(origin), .field = "byte " + std::to_string(zero + 1)});
  }
  if (!nlohmann::json::sax_parse(text.begin(), text.end(), &builder)) {
    throw Error(ErrorKind::format, "invalid JSON", {.file = std::string(origin)});
  }
  return builder.take();
}

std::string Json::dump(int indent) const {
  return to_nlohmann(*this).dump(indent, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace powerhouse
