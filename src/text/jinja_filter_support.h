// Shared by the filters: attribute paths ("a.b.0"), case folding of keys, and generators.
#pragma once

#include <string>
#include <variant>
#include <vector>

#include "text/jinja_builtins.h"

namespace powerhouse::jinja {

/// Looks up the same path in many values, as jinja2's attribute arguments do: items before attributes, digits as
/// indices. A missing or None path is the value itself.
class AttributePath {
 public:
  AttributePath(Budget& budget, const Value& path);
  /// `otherwise`, where given and not None, stands in for each undefined step.
  Value operator()(Interpreter& interpreter, Value item, const Value& otherwise = Value()) const;

 private:
  Values parts_;
};

/// Strings in lower case unless the comparison is case-sensitive; other values as they are.
Value fold_case(Budget& budget, const Value& value, bool case_sensitive);

/// A generator over `make()`, which runs when the first element is asked for.
Value generate_later(BuiltinCall& call, std::function<Values()> make);

/// The deepest of what a lazy filter holds on to.
std::uint32_t held_depth(const BuiltinCall& call);

/// Calls a method of str on the filtered value's text.
Value call_text_method(BuiltinCall& call, std::string_view method);

}  // namespace powerhouse::jinja
