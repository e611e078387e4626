#include "constraints/schema_document.h"

#include <algorithm>
#include <charconv>

#include "powerhouse/error.h"

namespace powerhouse::constraints {
namespace {

// A key as a part of a JSON pointer.
std::string escaped(std::string_view key) {
  std::string out;
  for (const char c : key) {
    if (c == '~') {
      out += "~0";
    } else if (c == '/') {
      out += "~1";
    } else {
      out += c;
    }
  }
  return out;
}

std::string unescaped(std::string_view part) {
  std::string out;
  for (std::size_t i = 0; i < part.size(); ++i) {
    unsigned value = 0;
    if (part[i] == '~' && i + 1 < part.size() && (part[i + 1] == '0' || part[i + 1] == '1')) {
      out += part[++i] == '0' ? '~' : '/';
    } else if (part[i] == '%' && i + 2 < part.size() &&
               std::from_chars(part.data() + i + 1, part.data() + i + 3, value, 16).ptr == part.data() + i + 3) {
      out += static_cast<char>(value);
      i += 2;
    } else {
      out += part[i];
    }
  }
  return out;
}

const Json* step(const Json& node, const std::string& key) {
  if (node.is_object()) return node.as_object().find(key);
  if (!node.is_array()) return nullptr;
  std::size_t index = 0;
  const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), index);
  const bool number = error == std::errc() && end == key.data() + key.size();
  return number && index < node.as_array().size() ? &node.as_array()[index] : nullptr;
}

}  // namespace

void schema_error(std::string_view what, const std::string& path, std::string_view found) {
  throw Error(ErrorKind::format, what, {.field = path, .found = std::string(found)});
}

void schema_unsupported(std::string_view what, const std::string& path, std::string_view found) {
  throw Error(ErrorKind::unsupported, what, {.field = path, .found = std::string(found)});
}

SchemaDocument::SchemaDocument(std::string_view text) : json_(Json::parse(text, "JSON schema")) {
  find_anchors(json_, "#");
}

void SchemaDocument::find_anchors(const Json& node, const std::string& path) {
  if (node.is_array()) {
    for (std::size_t i = 0; i < node.as_array().size(); ++i) {
      find_anchors(node.as_array()[i], path + "/" + std::to_string(i));
    }
  }
  if (!node.is_object()) return;
  for (const auto& [key, value] : node.as_object()) {
    if (value.is_string() && key == "$anchor") anchors_.emplace("#" + value.as_string(), SchemaRef{&node, path});
    if (value.is_string() && key == "$id") anchors_.emplace(value.as_string(), SchemaRef{&node, path});
    find_anchors(value, path + "/" + escaped(key));
  }
}

SchemaRef SchemaDocument::resolve(const SchemaRef& from, const std::string& reference) const {
  if (const auto anchor = anchors_.find(reference); anchor != anchors_.end()) return anchor->second;
  if (!reference.starts_with('#')) {
    schema_unsupported("a schema refers to another document", from.path + "/$ref", reference);
  }
  SchemaRef at = root();
  std::string_view rest = std::string_view(reference).substr(1);
  while (!rest.empty()) {
    const bool pointer = rest.starts_with('/');
    const std::size_t end = std::min(rest.find('/', 1), rest.size());
    const std::string key = pointer ? unescaped(rest.substr(1, end - 1)) : "";
    const Json* next = pointer ? step(*at.node, key) : nullptr;
    if (next == nullptr) {
      throw Error(ErrorKind::not_found, "a schema refers to what is not there",
                  {.field = from.path + "/$ref", .found = reference});
    }
    at = {next, at.path + "/" + escaped(key)};
    rest.remove_prefix(end);
  }
  return at;
}

SchemaRef SchemaDocument::child(const SchemaRef& of, std::string_view key) {
  return {of.node->as_object().find(key), of.path + "/" + escaped(key)};
}

SchemaRef SchemaDocument::child(const SchemaRef& of, std::string_view key, std::size_t index) {
  const SchemaRef list = child(of, key);
  return {&list.node->as_array()[index], list.path + "/" + std::to_string(index)};
}

SchemaRef SchemaDocument::child(const SchemaRef& of, std::string_view key, std::string_view member) {
  const SchemaRef object = child(of, key);
  return {object.node->as_object().find(member), object.path + "/" + escaped(member)};
}

}  // namespace powerhouse::constraints
