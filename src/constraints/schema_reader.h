// SchemaReader: a schema as the ways to meet it (constraints/flat_schema.h).
#pragma once

#include <string>
#include <vector>

#include "constraints/flat_schema.h"

namespace powerhouse::constraints {

class SchemaReader {
 public:
  explicit SchemaReader(const SchemaDocument& document) : document_(document) {}

  /// All ways to meet every one of `schemas`; none where nothing does. Whether a way can be met in its parts is not
  /// looked at. Error{format} for what is malformed, Error{unsupported} for what is not built, Error{range} where
  /// alternatives multiply without end, each with the place.
  std::vector<FlatSchema> read(const Conjunction& schemas);

  /// Where a schema of which no way is left was seen, the deepest such place; empty if nowhere.
  const std::string& impossible() const { return impossible_; }
  void note_impossible(const std::string& path) {
    if (path.size() > impossible_.size()) impossible_ = path;
  }

 private:
  friend class SchemaLogic;
  std::vector<FlatSchema> expand(const SchemaRef& schema);
  std::vector<FlatSchema> united(const SchemaRef& schema, std::string_view keyword);

  const SchemaDocument& document_;
  std::vector<const Json*> open_;     // being expanded: what meets itself there has no meaning
  std::vector<SchemaRef> exclusive_;  // oneOf, to be checked for branches that overlap
  std::string impossible_;
  bool proving_ = false;  // what is said must leave out nothing that the schema allows
};

/// What one schema says itself: every keyword but those that refer to other schemas of the same value.
FlatSchema read_keywords(const SchemaRef& schema);

}  // namespace powerhouse::constraints
