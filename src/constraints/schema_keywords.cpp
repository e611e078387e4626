// The keywords of one schema.
#include <algorithm>
#include <cmath>
#include <string_view>

#include "constraints/schema_reader.h"
#include "constraints/string_formats.h"

namespace powerhouse::constraints {
namespace {

unsigned type_bits(const Json& name, const std::string& path) {
  if (!name.is_string()) schema_error("a type is no string", path, name.type_name());
  const std::string& type = name.as_string();
  if (type == "null") return kNull;
  if (type == "boolean") return kBoolean;
  if (type == "integer") return kInteger;
  if (type == "number") return kInteger | kFraction;
  if (type == "string") return kString;
  if (type == "array") return kArray;
  if (type == "object") return kObject;
  schema_error("a type is not known", path, type);
}

// The keyword's value at hand, with its place.
class Keywords {
 public:
  Keywords(const SchemaRef& schema, FlatSchema& out) : schema_(schema), out_(out) {}

  void run() {
    types();
    values();
    numbers();
    strings();
    arrays();
    objects();
    refuse();
  }

 private:
  const Json* find(std::string_view key) {
    at_ = schema_.path + "/" + std::string(key);
    return schema_.node->as_object().find(key);
  }
  SchemaRef schema_at(std::string_view key) {
    const SchemaRef out = SchemaDocument::child(schema_, key);
    if (!out.node->is_object() && !out.node->is_bool()) schema_error("not a schema", out.path, out.node->type_name());
    return out;
  }
  std::vector<SchemaRef> list_at(std::string_view key) {
    std::vector<SchemaRef> out;
    for (std::size_t i = 0; i < find(key)->as_array().size(); ++i) {
      out.push_back(SchemaDocument::child(schema_, key, i));
    }
    return out;
  }
  std::vector<std::pair<std::string, SchemaRef>> map_at(std::string_view key) {
    const Json& object = *find(key);
    if (!object.is_object()) schema_error("not an object", at_, object.type_name());
    std::vector<std::pair<std::string, SchemaRef>> out;
    for (const auto& [name, value] : object.as_object()) {
      out.emplace_back(name, SchemaDocument::child(schema_, key, name));
    }
    return out;
  }
  void count(std::string_view key, std::uint64_t& out) {
    const Json* value = find(key);
    if (value == nullptr) return;
    const bool whole =
        value->is_integer() || (value->is_double() && std::floor(value->as_double()) == value->as_double());
    if (!whole || value->as_double() < 0) schema_error("a count is no whole number from 0 on", at_, value->dump());
    out = static_cast<std::uint64_t>(std::min(value->as_double(), 1e15));
  }
  void unsupported(std::string_view key, unsigned types) {
    if (find(key) != nullptr) out_.unsupported.push_back({types, at_});
  }

  void types() {
    const Json* type = find("type");
    if (type == nullptr) return;
    out_.types = 0;
    if (type->is_array()) {
      for (const Json& name : type->as_array()) out_.types |= type_bits(name, at_);
    } else {
      out_.types = type_bits(*type, at_);
    }
    const Json* nullable = find("nullable");  // OpenAPI's
    if (nullable != nullptr && nullable->is_bool() && nullable->as_bool()) out_.types |= kNull;
  }

  void values() {
    if (const Json* list = find("enum")) {
      if (!list->is_array()) schema_error("an enum is no array", at_, list->type_name());
      out_.values.emplace();
      for (const Json& value : list->as_array()) out_.values->push_back(&value);
    }
    if (const Json* value = find("const")) out_ = merged(out_, {.values = std::vector<const Json*>{value}});
  }

  std::optional<Bound> bound(std::string_view key, bool exclusive) {
    const Json* value = find(key);
    if (value == nullptr) return {};
    if (!value->is_number()) schema_error("a bound is no number", at_, value->type_name());
    return Bound{Decimal::of(*value), exclusive};
  }

  void numbers() {
    out_ = merged(out_, {.low = bound("minimum", false), .high = bound("maximum", false)});
    out_ = merged(out_, {.low = bound("exclusiveMinimum", true), .high = bound("exclusiveMaximum", true)});
    const Json* multiple = find("multipleOf");
    if (multiple == nullptr) return;
    if (!multiple->is_number() || multiple->as_double() <= 0) {
      schema_error("multipleOf is no number above 0", at_, multiple->dump());
    }
    const double value = multiple->as_double();
    if (std::floor(value) == value && value <= 1000) {
      out_.multiples.push_back(static_cast<std::int64_t>(value));
    } else {
      out_.unsupported.push_back({kInteger | kFraction, at_});
    }
  }

  void strings() {
    count("minLength", out_.min_length);
    count("maxLength", out_.max_length);
    if (const Json* pattern = find("pattern")) {
      if (!pattern->is_string()) schema_error("a pattern is no string", at_, pattern->type_name());
      out_.patterns.push_back({pattern->as_string(), at_, false});
    }
    const Json* format = find("format");
    if (format == nullptr) return;
    if (!format->is_string()) schema_error("a format is no string", at_, format->type_name());
    if (const auto pattern = format_pattern(format->as_string())) {
      out_.patterns.push_back({*pattern, at_, true});
    } else if (!is_annotation_format(format->as_string())) {
      out_.unsupported.push_back({kString, at_, format->as_string()});
    }
  }

  void arrays() {
    FlatSchema::Elements elements;
    if (const Json* prefix = find("prefixItems")) {
      if (!prefix->is_array()) schema_error("prefixItems is no array", at_, prefix->type_name());
      elements.first = list_at("prefixItems");
    }
    if (const Json* items = find("items")) {
      if (items->is_array()) {  // draft 7
        elements.first = list_at("items");
        if (find("additionalItems") != nullptr) elements.rest = schema_at("additionalItems");
      } else {
        elements.rest = schema_at("items");
      }
    }
    if (!elements.first.empty() || elements.rest) out_.elements.push_back(std::move(elements));
    out_.min_items_given = find("minItems") != nullptr;
    count("minItems", out_.min_items);
    count("maxItems", out_.max_items);
    const Json* unique = find("uniqueItems");
    out_.unique = unique != nullptr && unique->is_bool() && unique->as_bool();
  }

  void objects() {
    FlatSchema::Members members;
    const bool properties = find("properties") != nullptr;
    if (properties) members.properties = map_at("properties");
    if (find("patternProperties") != nullptr) members.patterns = map_at("patternProperties");
    if (find("additionalProperties") != nullptr) members.rest = schema_at("additionalProperties");
    if (properties || !members.patterns.empty() || members.rest) out_.members.push_back(std::move(members));
    if (const Json* required = find("required")) {
      if (!required->is_array()) schema_error("required is no array", at_, required->type_name());
      for (const Json& name : required->as_array()) {
        if (!name.is_string()) schema_error("a required name is no string", at_, name.type_name());
        out_.required.push_back(name.as_string());
      }
    }
    if (find("propertyNames") != nullptr) out_.names.push_back(schema_at("propertyNames"));
    count("minProperties", out_.min_properties);
    count("maxProperties", out_.max_properties);
  }

  void refuse() {
    for (const char* key : {"not", "if", "$dynamicRef", "$recursiveRef"}) unsupported(key, kAnyType);
    for (const char* key : {"contains", "minContains", "maxContains"}) unsupported(key, kArray);
    for (const char* key : {"dependencies", "dependentRequired", "dependentSchemas"}) unsupported(key, kObject);
  }

  const SchemaRef& schema_;
  FlatSchema& out_;
  std::string at_;
};

}  // namespace

FlatSchema read_keywords(const SchemaRef& schema) {
  FlatSchema out{.path = schema.path};
  Keywords(schema, out).run();
  return out;
}

}  // namespace powerhouse::constraints
