// SchemaDocument: a JSON schema's text, its places by JSON pointer, and what $ref refers to.
#pragma once

#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "support/json.h"

namespace powerhouse::constraints {

/// A schema and where it stands, as a JSON pointer ("#/properties/name").
struct SchemaRef {
  const Json* node = nullptr;
  std::string path{};
};
/// Schemas that must all hold.
using Conjunction = std::vector<SchemaRef>;

class SchemaDocument {
 public:
  /// Error{format} for text that is no JSON.
  explicit SchemaDocument(std::string_view text);
  SchemaDocument(const SchemaDocument&) = delete;
  SchemaDocument& operator=(const SchemaDocument&) = delete;

  SchemaRef root() const { return {&json_, "#"}; }
  /// What the $ref at `from` means. Error{not_found} naming the place, Error{unsupported} for another document.
  SchemaRef resolve(const SchemaRef& from, const std::string& reference) const;

  static SchemaRef child(const SchemaRef& of, std::string_view key);
  static SchemaRef child(const SchemaRef& of, std::string_view key, std::size_t index);
  static SchemaRef child(const SchemaRef& of, std::string_view key, std::string_view member);

 private:
  void find_anchors(const Json& node, const std::string& path);

  Json json_;
  std::unordered_map<std::string, SchemaRef> anchors_;  // "#name", and $id
};

/// Throws with the place of a keyword.
[[noreturn]] void schema_error(std::string_view what, const std::string& path, std::string_view found = {});
[[noreturn]] void schema_unsupported(std::string_view what, const std::string& path, std::string_view found = {});

}  // namespace powerhouse::constraints
