#include "constraints/schema_reader.h"

#include <algorithm>

#include "powerhouse/error.h"

namespace powerhouse::constraints {
namespace {

constexpr std::size_t kMaxWays = 2000;
constexpr std::size_t kMaxSchemaDepth = 100;

std::vector<FlatSchema> crossed(const std::vector<FlatSchema>& a, const std::vector<FlatSchema>& b,
                                const std::string& path) {
  if (a.size() * b.size() > kMaxWays) {
    throw Error(ErrorKind::range, "a schema explodes: its alternatives multiply",
                {.field = path, .expected = "at most 2,000 ways"});
  }
  std::vector<FlatSchema> out;
  for (const FlatSchema& left : a) {
    for (const FlatSchema& right : b) {
      FlatSchema both = merged(left, right);
      if (both.types != 0 && !(both.values && both.values->empty())) out.push_back(std::move(both));
    }
  }
  return out;
}

template <typename Part>
bool speak_of_all(const std::vector<Part>& parts) {
  return std::any_of(parts.begin(), parts.end(), [](const Part& part) { return part.rest.has_value(); });
}

// unevaluatedItems and unevaluatedProperties speak of what is left by all else that the schema asks for in this way, by
// reference and in branches too, but not by what its parents ask for: a catch-all beside every name that is met there.
void add_unevaluated(const SchemaRef& schema, FlatSchema& way) {
  static const Json kAnything(true);
  const JsonObject& object = schema.node->as_object();
  if (object.find("unevaluatedItems") != nullptr && !speak_of_all(way.elements)) {
    FlatSchema::Elements out{.rest = SchemaDocument::child(schema, "unevaluatedItems")};
    std::size_t named = 0;
    for (const auto& part : way.elements) named = std::max(named, part.first.size());
    out.first.assign(named, {&kAnything, schema.path});
    way.elements.push_back(std::move(out));
  }
  if (object.find("unevaluatedProperties") != nullptr && !speak_of_all(way.members)) {
    FlatSchema::Members out{.rest = SchemaDocument::child(schema, "unevaluatedProperties")};
    for (const auto& part : way.members) {
      for (const auto& [name, _] : part.properties)
        out.properties.emplace_back(name, SchemaRef{&kAnything, schema.path});
      for (const auto& [text, of] : part.patterns) out.patterns.emplace_back(text, SchemaRef{&kAnything, of.path});
    }
    way.members.push_back(std::move(out));
  }
}

}  // namespace

std::vector<FlatSchema> SchemaReader::read(const Conjunction& schemas) {
  std::vector<FlatSchema> out(1);
  if (!schemas.empty()) out[0].path = schemas[0].path;
  for (const SchemaRef& schema : schemas) out = crossed(out, expand(schema), schema.path);
  return out;
}

std::vector<FlatSchema> SchemaReader::united(const SchemaRef& schema, std::string_view keyword) {
  const SchemaRef list = SchemaDocument::child(schema, keyword);
  if (!list.node->is_array() || list.node->as_array().empty()) {
    schema_error(std::string(keyword) + " is no array with something in it", list.path, list.node->type_name());
  }
  std::vector<FlatSchema> out;
  for (std::size_t i = 0; i < list.node->as_array().size(); ++i) {
    for (FlatSchema& way : expand(SchemaDocument::child(schema, keyword, i))) out.push_back(std::move(way));
    if (out.size() > kMaxWays) {
      throw Error(ErrorKind::range, "a schema explodes: it has too many alternatives", {.field = list.path});
    }
  }
  return out;
}

std::vector<FlatSchema> SchemaReader::expand(const SchemaRef& schema) {
  if (schema.node->is_bool()) {
    if (schema.node->as_bool()) return {FlatSchema{.path = schema.path}};
    note_impossible(schema.path);
    return {};
  }
  if (!schema.node->is_object()) schema_error("not a schema", schema.path, schema.node->type_name());
  if (std::find(open_.begin(), open_.end(), schema.node) != open_.end()) {
    schema_error("a schema refers to itself without end", schema.path);
  }
  if (open_.size() >= kMaxSchemaDepth) {
    throw Error(ErrorKind::range, "schemas refer to each other too deeply", {.field = schema.path});
  }
  open_.push_back(schema.node);
  const JsonObject& object = schema.node->as_object();
  std::vector<FlatSchema> out{read_keywords(schema)};
  if (const Json* reference = object.find("$ref")) {
    if (!reference->is_string())
      schema_error("a reference is no string", schema.path + "/$ref", reference->type_name());
    out = crossed(out, expand(document_.resolve(schema, reference->as_string())), schema.path);
  }
  if (const Json* all = object.find("allOf")) {
    if (!all->is_array()) schema_error("allOf is no array", schema.path + "/allOf", all->type_name());
    for (std::size_t i = 0; i < all->as_array().size(); ++i) {
      out = crossed(out, expand(SchemaDocument::child(schema, "allOf", i)), schema.path + "/allOf");
    }
  }
  for (const char* keyword : {"anyOf", "oneOf"}) {
    if (object.find(keyword) != nullptr) out = crossed(out, united(schema, keyword), schema.path + "/" + keyword);
  }
  const bool exclusive = object.find("oneOf") != nullptr;
  if (exclusive) {
    const auto known = std::find_if(exclusive_.begin(), exclusive_.end(),
                                    [&](const SchemaRef& other) { return other.node == schema.node; });
    if (known == exclusive_.end()) exclusive_.push_back(schema);
  }
  // A value that meets several branches has more evaluated than one way knows of: what is written keeps to one.
  if (!proving_ || out.size() == 1) {
    for (FlatSchema& way : out) add_unevaluated(schema, way);
  }
  open_.pop_back();
  if (out.empty()) note_impossible(schema.path);
  return out;
}

}  // namespace powerhouse::constraints
