// FlatSchema: one way to meet a schema, with everything that refers, unites or chooses taken out: what `type`, `$ref`,
// `allOf` and one branch of each `anyOf` ask for together.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "constraints/decimal.h"
#include "constraints/grammar.h"
#include "constraints/schema_document.h"

namespace powerhouse::constraints {

enum TypeBit : unsigned {
  kNull = 1,
  kBoolean = 2,
  kInteger = 4,
  kFraction = 8,  // numbers that are no integers
  kString = 16,
  kArray = 32,
  kObject = 64,
  kAnyType = 127,
};

struct FlatSchema {
  std::string path{};
  unsigned types = kAnyType;
  std::optional<std::vector<const Json*>> values{};  // enum, const

  std::optional<Bound> low{}, high{};
  std::vector<std::int64_t> multiples{};

  std::uint64_t min_length = 0, max_length = Grammar::kUnbounded;
  struct Pattern {
    std::string text, path;
    bool whole = false;  // of a format
  };
  std::vector<Pattern> patterns{};

  // What one schema says of elements, and of members: which of them its own catch-all means is its own affair.
  struct Elements {
    std::vector<SchemaRef> first{};
    std::optional<SchemaRef> rest{};
  };
  std::vector<Elements> elements{};
  std::uint64_t min_items = 0, max_items = Grammar::kUnbounded;
  bool min_items_given = false;
  bool unique = false;

  struct Members {
    std::vector<std::pair<std::string, SchemaRef>> properties{};
    std::vector<std::pair<std::string, SchemaRef>> patterns{};
    std::optional<SchemaRef> rest{};
  };
  std::vector<Members> members{};
  std::vector<std::string> required{};
  std::vector<SchemaRef> names{};  // propertyNames
  std::uint64_t min_properties = 0, max_properties = Grammar::kUnbounded;

  /// Keywords that are not built, by the types that they would bear on.
  struct Unsupported {
    unsigned types;
    std::string path;
    std::string found{};
  };
  std::vector<Unsupported> unsupported{};
};

/// What meets both.
FlatSchema merged(const FlatSchema& a, const FlatSchema& b);
/// As JSON schema compares: 1 is 1.0, members have no order.
bool same_value(const Json& a, const Json& b);

}  // namespace powerhouse::constraints
