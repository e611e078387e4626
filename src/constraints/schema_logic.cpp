#include "constraints/schema_logic.h"

#include <algorithm>
#include <cmath>
#include <iterator>

#include "powerhouse/error.h"
#include "support/utf8.h"

namespace powerhouse::constraints {

unsigned type_bit(const Json& value) {
  if (value.is_null()) return kNull;
  if (value.is_bool()) return kBoolean;
  if (value.is_number()) return Decimal::of(value).fraction.empty() ? kInteger : kFraction;
  if (value.is_string()) return kString;
  return value.is_array() ? kArray : kObject;
}

void refuse_unsupported(const FlatSchema& flat, unsigned types) {
  for (const auto& keyword : flat.unsupported) {
    if ((keyword.types & types) != 0) {
      schema_unsupported("a keyword of JSON schema is not built", keyword.path, keyword.found);
    }
  }
}

const TextMachine& SchemaLogic::pattern(const std::string& text, const std::string& path, RegexDialect dialect,
                                        bool whole) {
  const std::pair<std::string, int> key{text, static_cast<int>(dialect) * 2 + (whole ? 1 : 0)};
  const auto found = patterns_.find(key);
  if (found != patterns_.end()) return found->second;
  try {
    return patterns_.emplace(key, regex_machine(text, dialect, whole)).first->second;
  } catch (const Error& error) {
    const std::string place = error.field().empty() ? path : path + " (" + error.field() + ")";
    throw Error(error.kind(), error.message(), {.field = place, .expected = error.expected(), .found = error.found()});
  }
}

TextMachine SchemaLogic::strings(const FlatSchema& flat) {
  std::optional<TextMachine> out;
  const auto restrict = [&](const TextMachine& machine) { out = out ? both(*out, machine) : machine; };
  for (const auto& one : flat.patterns) restrict(pattern(one.text, one.path, surely(), one.whole));
  try {
    if (!out || flat.min_length > 0 || flat.max_length != Grammar::kUnbounded) {
      restrict(lengths_machine(flat.min_length, flat.max_length));
    }
  } catch (const Error& error) {
    throw Error(error.kind(), error.message(), {.field = flat.path, .expected = error.expected()});
  }
  return *out;
}

// A name that some engines say a pattern matches, and some not, must meet what either would mean; for a proof it need
// meet neither.
Conjunction SchemaLogic::member(const FlatSchema& flat, const std::string& name) {
  Conjunction out;
  for (const auto& part : flat.members) {
    bool named = false;
    for (const auto& [key, schema] : part.properties) {
      if (key != name) continue;
      named = true;
      out.push_back(schema);
    }
    for (const auto& [text, schema] : part.patterns) {
      if (pattern(text, schema.path, perhaps(), false).matches(name)) out.push_back(schema);
      named |= pattern(text, schema.path, surely(), false).matches(name);
    }
    if (!named && part.rest) out.push_back(*part.rest);
  }
  return out;
}

Conjunction SchemaLogic::element(const FlatSchema& flat, std::size_t index) {
  Conjunction out;
  for (const auto& part : flat.elements) {
    if (index < part.first.size()) {
      out.push_back(part.first[index]);
    } else if (part.rest) {
      out.push_back(*part.rest);
    }
  }
  return out;
}

bool SchemaLogic::numbers_meet(const Json& value, const FlatSchema& flat) const {
  const Decimal number = Decimal::of(value);
  if (flat.low) {
    const auto order = compare(number, flat.low->value);
    if (order < 0 || (order == 0 && flat.low->exclusive)) return false;
  }
  if (flat.high) {
    const auto order = compare(number, flat.high->value);
    if (order > 0 || (order == 0 && flat.high->exclusive)) return false;
  }
  return std::all_of(flat.multiples.begin(), flat.multiples.end(), [&](std::int64_t multiple) {
    return std::fmod(value.as_double(), static_cast<double>(multiple)) == 0;
  });
}

bool SchemaLogic::array_meets(const Json& value, const FlatSchema& flat) {
  const auto& array = value.as_array();
  if (array.size() < flat.min_items || array.size() > flat.max_items) return false;
  for (std::size_t i = 0; i < array.size(); ++i) {
    if (!meets(array[i], element(flat, i))) return false;
    for (std::size_t k = 0; flat.unique && k < i; ++k) {
      if (same_value(array[i], array[k])) return false;
    }
  }
  return true;
}

bool SchemaLogic::object_meets(const Json& value, const FlatSchema& flat) {
  const JsonObject& object = value.as_object();
  if (object.size() < flat.min_properties || object.size() > flat.max_properties) return false;
  for (const std::string& name : flat.required) {
    if (object.find(name) == nullptr) return false;
  }
  return std::all_of(object.begin(), object.end(), [&](const auto& entry) {
    return meets(Json(entry.first), flat.names) && meets(entry.second, member(flat, entry.first));
  });
}

bool SchemaLogic::meets(const Json& value, const FlatSchema& flat) {
  const unsigned type = type_bit(value);
  if ((flat.types & type) == 0) return false;
  refuse_unsupported(flat, type);
  if (flat.values && std::none_of(flat.values->begin(), flat.values->end(),
                                  [&](const Json* other) { return same_value(value, *other); }))
    return false;
  if (value.is_number()) return numbers_meet(value, flat);
  if (value.is_string()) {
    const bool plain = flat.patterns.empty() && flat.min_length == 0 && flat.max_length == Grammar::kUnbounded;
    return plain || strings(flat).matches(value.as_string());
  }
  if (value.is_array()) return array_meets(value, flat);
  return !value.is_object() || object_meets(value, flat);
}

std::vector<const Json*> SchemaLogic::values(const FlatSchema& flat) {
  std::vector<const Json*> out;
  if (!flat.values) return out;
  std::copy_if(flat.values->begin(), flat.values->end(), std::back_inserter(out),
               [&](const Json* value) { return meets(*value, flat); });
  return out;
}

bool SchemaLogic::meets(const Json& value, const Conjunction& schemas) {
  if (schemas.empty()) return true;
  const auto ways = reader_.read(schemas);
  return std::any_of(ways.begin(), ways.end(), [&](const FlatSchema& way) { return meets(value, way); });
}

bool SchemaLogic::impossible(const FlatSchema& flat) {
  effort_ = 500;
  return never(flat, 4);
}

bool SchemaLogic::never(const FlatSchema& flat, int depth) {
  if (--effort_ < 0) return false;
  if (flat.values) {
    return std::none_of(flat.values->begin(), flat.values->end(),
                        [&](const Json* value) { return meets(*value, flat); });
  }
  if ((flat.types & (kNull | kBoolean)) != 0) return false;
  if ((flat.types & (kInteger | kFraction)) != 0) {
    if (!flat.low || !flat.high) return false;
    const auto order = compare(flat.low->value, flat.high->value);
    if (order < 0 || (order == 0 && !flat.low->exclusive && !flat.high->exclusive)) return false;
  }
  if ((flat.types & kString) != 0) {
    if (flat.min_length <= flat.max_length && (flat.patterns.empty() || strings(flat).possible())) return false;
  }
  if (depth == 0) return (flat.types & (kArray | kObject)) == 0;
  if ((flat.types & kArray) != 0 && flat.min_items <= flat.max_items) {
    bool possible = true;
    for (std::size_t i = 0; i < std::min<std::uint64_t>(flat.min_items, 32); ++i) {
      possible = possible && !never(element(flat, i), depth - 1);
    }
    if (possible) return false;
  }
  if ((flat.types & kObject) != 0 && flat.min_properties <= flat.max_properties) {
    if (std::none_of(flat.required.begin(), flat.required.end(),
                     [&](const std::string& name) { return never(member(flat, name), depth - 1); }))
      return false;
  }
  return true;
}

bool SchemaLogic::never(const Conjunction& schemas, int depth) {
  if (effort_ <= 0) return false;
  const auto ways = reader_.read(schemas);
  return std::all_of(ways.begin(), ways.end(), [&](const FlatSchema& way) { return never(way, depth); });
}

// What two branches ask for together must be impossible beside what the schema asks for itself.
void SchemaLogic::check_exclusive() {
  reader_.proving_ = true;
  for (std::size_t i = 0; i < reader_.exclusive_.size(); ++i) {  // grows by what is read here
    const SchemaRef schema = reader_.exclusive_[i];
    const auto& branches = schema.node->as_object().find("oneOf")->as_array();
    const FlatSchema own = read_keywords(schema);
    std::vector<std::vector<FlatSchema>> ways;
    for (std::size_t b = 0; b < branches.size(); ++b) {
      ways.push_back(reader_.read({SchemaDocument::child(schema, "oneOf", b)}));
    }
    for (std::size_t a = 0; a < ways.size(); ++a) {
      for (std::size_t b = a + 1; b < ways.size(); ++b) {
        for (const FlatSchema& left : ways[a]) {
          for (const FlatSchema& right : ways[b]) {
            if (impossible(merged(own, merged(left, right)))) continue;
            schema_unsupported("two branches of oneOf may be met at once; anyOf takes such", schema.path + "/oneOf",
                               std::to_string(a) + " and " + std::to_string(b));
          }
        }
      }
    }
  }
  reader_.proving_ = false;
}

}  // namespace powerhouse::constraints
