// Python's operators on template values: truth, equality, order, arithmetic, membership, length and slices.
//
// Integers grow as Python's do (jinja_big_integer.h).
#pragma once

#include <cstddef>
#include <optional>
#include <string_view>

#include "text/jinja_value.h"

namespace powerhouse::jinja {

enum class BinaryOperator : std::uint8_t { add, subtract, multiply, divide, floor_divide, modulo, power };
enum class CompareOperator : std::uint8_t { equal, not_equal, less, less_equal, greater, greater_equal, in, not_in };

bool truthy(const Value& value);
bool equal(Budget& budget, const Value& a, const Value& b);
/// Python's `is`: the same object.
bool identical(const Value& a, const Value& b);
bool compare(Budget& budget, CompareOperator op, const Value& a, const Value& b);
/// Equal values have equal hashes (1, 1.0 and True). Fails where Python's hash() does.
std::size_t hash_value(Budget& budget, const Value& value);
std::size_t hash_text(std::string_view text);

Value binary(Budget& budget, BinaryOperator op, const Value& a, const Value& b);
Value negate(Budget& budget, const Value& value);
Value positive(const Value& value);

/// len(); nothing where the type has none.
std::optional<std::size_t> length_of(const Value& value);
/// Walks a value as `for` does: a closure that yields its elements. Fails where it is not iterable.
std::function<bool(Value&)> iterate(Budget& budget, const Value& value);
bool is_iterable(const Value& value);
/// list(value)
Values collect(Budget& budget, const Value& value);

/// value[start:stop:step]; none or missing where absent.
Value slice(Budget& budget, const Value& value, const Value& start, const Value& stop, const Value& step);
/// value[index] as Python's own subscription; missing where it raises TypeError or LookupError.
Value subscript(Budget& budget, const Value& value, const Value& index);

/// A checked index argument: an int or bool, else Failure naming `what`.
std::int64_t expect_integer(const Value& value, std::string_view what);

// 64-bit arithmetic that fails where Python would go on with a long.
std::int64_t checked_add(std::int64_t a, std::int64_t b);
std::int64_t checked_multiply(std::int64_t a, std::int64_t b);

/// The operation that failed on an undefined value, in jinja2's words.
[[noreturn]] void fail_undefined(const Value& value);
[[noreturn]] void fail_type(std::string_view what, const Value& value);

}  // namespace powerhouse::jinja
