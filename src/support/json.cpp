#include "support/json.h"

#include <cmath>
#include <limits>
#include <unordered_map>

#include "powerhouse/error.h"
#include "support/mapped_file.h"

namespace powerhouse {

// Small objects are searched in order; beyond this many keys an index is kept.
constexpr std::size_t kIndexFrom = 16;

struct JsonObject::State {
  std::vector<Member> members;
  std::unordered_map<std::string, std::size_t> index;

  std::size_t position(std::string_view key) const {
    if (members.size() < kIndexFrom) {
      for (std::size_t i = 0; i < members.size(); ++i) {
        if (members[i].first == key) return i;
      }
      return members.size();
    }
    const auto found = index.find(std::string(key));
    return found == index.end() ? members.size() : found->second;
  }

  Json& insert(std::string_view key) {
    members.emplace_back(std::string(key), Json());
    if (members.size() == kIndexFrom) {
      for (std::size_t i = 0; i < members.size(); ++i) index.emplace(members[i].first, i);
    } else if (members.size() > kIndexFrom) {
      index.emplace(members.back().first, members.size() - 1);
    }
    return members.back().second;
  }
};

JsonObject::JsonObject() : state_(std::make_unique<State>()) {}
JsonObject::JsonObject(const JsonObject& other) : state_(std::make_unique<State>(*other.state_)) {}
JsonObject::JsonObject(JsonObject&& other) noexcept : state_(std::move(other.state_)) {}
JsonObject& JsonObject::operator=(JsonObject other) {
  state_ = std::move(other.state_);
  return *this;
}
JsonObject::~JsonObject() = default;

const Json* JsonObject::find(std::string_view key) const {
  const std::size_t at = state_->position(key);
  return at == state_->members.size() ? nullptr : &state_->members[at].second;
}
Json* JsonObject::find(std::string_view key) { return const_cast<Json*>(std::as_const(*this).find(key)); }
Json& JsonObject::operator[](std::string_view key) {
  Json* existing = find(key);
  return existing != nullptr ? *existing : state_->insert(key);
}
std::size_t JsonObject::size() const noexcept { return state_ ? state_->members.size() : 0; }
const JsonObject::Member* JsonObject::begin() const noexcept { return state_ ? state_->members.data() : nullptr; }
const JsonObject::Member* JsonObject::end() const noexcept { return begin() + size(); }

Json::Json(std::uint64_t value) {
  if (value <= static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
    value_ = static_cast<std::int64_t>(value);
  } else {
    value_ = WideInteger{std::to_string(value), static_cast<double>(value)};
  }
}

Json Json::wide(std::string digits, double value) {
  Json out;
  out.value_ = WideInteger{std::move(digits), value};
  return out;
}

namespace {

[[noreturn]] void wrong_type(std::string_view what, std::string_view expected, const Json& value) {
  throw Error(ErrorKind::format, "wrong JSON type",
              {.field = std::string(what), .expected = std::string(expected), .found = std::string(value.type_name())});
}

}  // namespace

Json Json::parse_file(const std::string& path, std::uint64_t max_bytes) {
  const auto file = MappedFile::open(path);
  if (file->size() > max_bytes) {
    throw Error(ErrorKind::format, "file too large for JSON",
                {.file = path,
                 .expected = "at most " + std::to_string(max_bytes) + " bytes",
                 .found = std::to_string(file->size())});
  }
  return parse(file->text(), path);
}

std::string_view Json::type_name() const {
  constexpr std::string_view kNames[] = {"null", "boolean", "integer", "number", "string", "array", "object", "number"};
  return kNames[value_.index()];
}

bool Json::as_bool(std::string_view what) const {
  if (const auto* value = std::get_if<bool>(&value_)) return *value;
  wrong_type(what, "boolean", *this);
}

std::int64_t Json::as_integer(std::string_view what) const {
  if (const auto* value = std::get_if<std::int64_t>(&value_)) return *value;
  if (const auto* value = std::get_if<double>(&value_)) {
    if (std::nearbyint(*value) == *value && std::abs(*value) < 9007199254740992.0) {
      return static_cast<std::int64_t>(*value);
    }
  }
  wrong_type(what, "integer", *this);
}

double Json::as_double(std::string_view what) const {
  if (const auto* value = std::get_if<double>(&value_)) return *value;
  if (const auto* value = std::get_if<std::int64_t>(&value_)) return static_cast<double>(*value);
  if (const auto* value = std::get_if<WideInteger>(&value_)) return value->value;
  wrong_type(what, "number", *this);
}

const std::string& Json::as_string(std::string_view what) const {
  if (const auto* value = std::get_if<std::string>(&value_)) return *value;
  wrong_type(what, "string", *this);
}

const Json::Array& Json::as_array(std::string_view what) const {
  if (const auto* value = std::get_if<Array>(&value_)) return *value;
  wrong_type(what, "array", *this);
}
Json::Array& Json::as_array(std::string_view what) { return const_cast<Array&>(std::as_const(*this).as_array(what)); }

const JsonObject& Json::as_object(std::string_view what) const {
  if (const auto* value = std::get_if<JsonObject>(&value_)) return *value;
  wrong_type(what, "object", *this);
}
JsonObject& Json::as_object(std::string_view what) {
  return const_cast<JsonObject&>(std::as_const(*this).as_object(what));
}

const Json* Json::get(std::string_view key) const {
  const auto* object = std::get_if<JsonObject>(&value_);
  const Json* member = object == nullptr ? nullptr : object->find(key);
  return member == nullptr || member->is_null() ? nullptr : member;
}

const Json& Json::at(std::string_view key) const {
  if (const Json* member = get(key)) return *member;
  throw Error(ErrorKind::format, "missing key", {.field = std::string(key)});
}

std::string Json::string_or(std::string_view key, std::string_view otherwise) const {
  const Json* member = get(key);
  return member == nullptr ? std::string(otherwise) : member->as_string(key);
}
std::int64_t Json::integer_or(std::string_view key, std::int64_t otherwise) const {
  const Json* member = get(key);
  return member == nullptr ? otherwise : member->as_integer(key);
}
double Json::double_or(std::string_view key, double otherwise) const {
  const Json* member = get(key);
  return member == nullptr ? otherwise : member->as_double(key);
}
bool Json::bool_or(std::string_view key, bool otherwise) const {
  const Json* member = get(key);
  return member == nullptr ? otherwise : member->as_bool(key);
}

}  // namespace powerhouse
