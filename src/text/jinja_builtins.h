// What templates may call without defining it: filters, tests, methods of Python's types, and global functions.
//
// Each is a row of a table: name, parameters as Python names them, function. A row without a function is something
// that jinja2 has and this engine does not: using it is Error{unsupported}, never a wrong text.
#pragma once

#include <span>
#include <string_view>

#include "text/jinja_value.h"

namespace powerhouse::jinja {

class Interpreter;

/// A call with its arguments in the order of the row's parameters.
struct BuiltinCall {
  Interpreter& interpreter;
  Budget& budget;
  const Value& self;  // what is filtered or tested, or the object of a method
  Values values;      // missing where absent
  Arguments rest;     // of rows with * or **

  const Value& operator[](std::size_t i) const { return values[i]; }
  bool has(std::size_t i) const { return !values[i].is_missing(); }
  /// The argument, where it is given and not None.
  bool given(std::size_t i) const { return has(i) && !values[i].is_none(); }

  // Typed arguments; a wrong type fails as in Python.
  std::int64_t integer(std::size_t i, std::int64_t otherwise) const;
  bool flag(std::size_t i, bool otherwise) const;
  const Text& text(std::size_t i) const;
  Value make(std::string text) const { return make_text(&budget, std::move(text)); }
};

struct Builtin {
  std::string_view name;
  /// Names in order, blank-separated: "old new count?"; "?" marks optional ones, "/" at the end forbids keywords,
  /// "*" and "**" collect the rest.
  std::string_view parameters;
  Value (*run)(BuiltinCall&) = nullptr;
  bool unsafe = false;  // a method that changes its object: the sandbox hides it
};

const Builtin* find_filter(std::string_view name);
const Builtin* find_test(std::string_view name);
const Builtin* find_global(std::string_view name);
/// A method of a type; nullptr where Python has none of that name.
const Builtin* find_method(Kind kind, std::string_view name);

// The tables, one a file.
std::span<const Builtin> text_filters();
std::span<const Builtin> sequence_filters();
std::span<const Builtin> select_filters();
std::span<const Builtin> number_filters();
std::span<const Builtin> tests();
std::span<const Builtin> globals();
std::span<const Builtin> text_methods();
std::span<const Builtin> more_text_methods();
std::span<const Builtin> sequence_methods(Kind kind);

/// Binds arguments to the row's parameters and runs it.
Value call_builtin(Interpreter& interpreter, const Builtin& builtin, const Value& self, Arguments arguments);

}  // namespace powerhouse::jinja
