#include "constraints/flat_schema.h"

#include <algorithm>

namespace powerhouse::constraints {
namespace {

template <typename T>
void append(std::vector<T>& to, const std::vector<T>& from) {
  to.insert(to.end(), from.begin(), from.end());
}

// The tighter of two bounds; `sign` is 1 for lower ones, -1 for upper ones.
std::optional<Bound> tighter(const std::optional<Bound>& a, const std::optional<Bound>& b, int sign) {
  if (!a || !b) return a ? a : b;
  const auto order = compare(a->value, b->value);
  if (order == 0) return Bound{a->value, a->exclusive || b->exclusive};
  return (order > 0) == (sign > 0) ? a : b;
}

}  // namespace

FlatSchema merged(const FlatSchema& a, const FlatSchema& b) {
  FlatSchema out = a;
  out.types &= b.types;
  if (b.values) {
    if (!out.values) {
      out.values = b.values;
    } else {
      std::erase_if(*out.values, [&](const Json* value) {
        return std::none_of(b.values->begin(), b.values->end(),
                            [&](const Json* other) { return same_value(*value, *other); });
      });
    }
  }
  out.low = tighter(a.low, b.low, 1);
  out.high = tighter(a.high, b.high, -1);
  append(out.multiples, b.multiples);
  out.min_length = std::max(a.min_length, b.min_length);
  out.max_length = std::min(a.max_length, b.max_length);
  append(out.patterns, b.patterns);
  append(out.elements, b.elements);
  out.min_items = std::max(a.min_items, b.min_items);
  out.max_items = std::min(a.max_items, b.max_items);
  out.min_items_given |= b.min_items_given;
  out.unique |= b.unique;
  append(out.members, b.members);
  append(out.required, b.required);
  append(out.names, b.names);
  out.min_properties = std::max(a.min_properties, b.min_properties);
  out.max_properties = std::min(a.max_properties, b.max_properties);
  append(out.unsupported, b.unsupported);
  return out;
}

bool same_value(const Json& a, const Json& b) {
  if (a.is_number() && b.is_number()) return compare(Decimal::of(a), Decimal::of(b)) == 0;
  if (a.is_array() && b.is_array()) {
    return std::equal(a.as_array().begin(), a.as_array().end(), b.as_array().begin(), b.as_array().end(), same_value);
  }
  if (a.is_object() && b.is_object()) {
    const JsonObject& left = a.as_object();
    const JsonObject& right = b.as_object();
    return left.size() == right.size() && std::all_of(left.begin(), left.end(), [&](const auto& member) {
             const Json* other = right.find(member.first);
             return other != nullptr && same_value(member.second, *other);
           });
  }
  if (a.is_string() && b.is_string()) return a.as_string() == b.as_string();
  if (a.is_bool() && b.is_bool()) return a.as_bool() == b.as_bool();
  return a.is_null() && b.is_null();
}

}  // namespace powerhouse::constraints
