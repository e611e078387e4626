// The arithmetic operators of jinja_operators.h: Python's rules for int, float, bool, and for sequences.
#include <cmath>
#include <limits>

#include "text/jinja_escape.h"
#include "text/jinja_operators.h"
#include "text/jinja_printf.h"

namespace powerhouse::jinja {
namespace {

constexpr std::int64_t kLowest = std::numeric_limits<std::int64_t>::min();

[[noreturn]] void fail_overflow() { fail(ErrorKind::unsupported, "an integer beyond 64 bits"); }
[[noreturn]] void fail_zero() { fail("division by zero"); }

std::string_view symbol(BinaryOperator op) {
  switch (op) {
    case BinaryOperator::add: return "+";
    case BinaryOperator::subtract: return "-";
    case BinaryOperator::multiply: return "*";
    case BinaryOperator::divide: return "/";
    case BinaryOperator::floor_divide: return "//";
    case BinaryOperator::modulo: return "%";
    case BinaryOperator::power: return "**";
  }
  return "?";
}

// Rounds towards minus infinity, and the remainder takes the divisor's sign.
std::int64_t floor_divide(std::int64_t a, std::int64_t b) {
  if (b == 0) fail_zero();
  if (a == kLowest && b == -1) fail_overflow();
  const std::int64_t quotient = a / b;
  return a % b != 0 && (a < 0) != (b < 0) ? quotient - 1 : quotient;
}
std::int64_t modulo(std::int64_t a, std::int64_t b) {
  if (b == 0) fail_zero();
  if (b == -1) return 0;
  const std::int64_t rest = a % b;
  return rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest;
}
double modulo(double a, double b) {
  if (b == 0) fail_zero();
  const double rest = std::fmod(a, b);
  if (rest == 0) return std::copysign(0.0, b);
  return (rest < 0) != (b < 0) ? rest + b : rest;
}
// CPython's float_divmod: exact quotient first, then floor, then the nearest integer to undo the division's rounding.
double floor_divide(double a, double b) {
  if (b == 0) fail_zero();
  const double rest = std::fmod(a, b);
  double quotient = (a - rest) / b;
  if (rest != 0 && (rest < 0) != (b < 0)) quotient -= 1;
  if (quotient == 0) return std::copysign(0.0, a / b);
  const double floored = std::floor(quotient);
  return quotient - floored > 0.5 ? floored + 1 : floored;
}

Value power(const Value& a, const Value& b) {
  if (a.is_integral() && b.is_integral()) {
    std::int64_t base = a.as_integer(), exponent = b.as_integer();
    if (exponent < 0) {
      if (base == 0) fail("0.0 cannot be raised to a negative power");
      return Value::real(std::pow(static_cast<double>(base), static_cast<double>(exponent)));
    }
    std::int64_t result = 1;
    if (base == 0 || base == 1) return Value::integer(exponent == 0 ? 1 : base);
    if (base == -1) return Value::integer(exponent % 2 == 0 ? 1 : -1);
    for (; exponent > 0; exponent /= 2) {
      if (exponent % 2 != 0) result = checked_multiply(result, base);
      if (exponent > 1) base = checked_multiply(base, base);
    }
    return Value::integer(result);
  }
  const double base = a.as_real(), exponent = b.as_real();
  if (base == 0 && exponent < 0) fail("0.0 cannot be raised to a negative power");
  if (base < 0 && std::isfinite(base) && std::isfinite(exponent) && exponent != std::floor(exponent)) {
    fail(ErrorKind::unsupported, "complex numbers");
  }
  const double result = std::pow(base, exponent);
  if (std::isinf(result) && std::isfinite(base) && std::isfinite(exponent)) fail("Result too large");
  return Value::real(result);
}

Value arithmetic(BinaryOperator op, const Value& a, const Value& b) {
  if (op == BinaryOperator::power) return power(a, b);
  if (op == BinaryOperator::divide) {
    if (b.as_real() == 0) fail_zero();
    if (!a.is_integral() || !b.is_integral()) return Value::real(a.as_real() / b.as_real());
    return Value::real(
        static_cast<double>(static_cast<long double>(a.as_integer()) / static_cast<long double>(b.as_integer())));
  }
  if (a.is_integral() && b.is_integral()) {
    const std::int64_t x = a.as_integer(), y = b.as_integer();
    std::int64_t difference = 0;
    switch (op) {
      case BinaryOperator::add: return Value::integer(checked_add(x, y));
      case BinaryOperator::subtract:
        if (__builtin_sub_overflow(x, y, &difference)) fail_overflow();
        return Value::integer(difference);
      case BinaryOperator::multiply: return Value::integer(checked_multiply(x, y));
      case BinaryOperator::floor_divide: return Value::integer(floor_divide(x, y));
      default: return Value::integer(modulo(x, y));
    }
  }
  const double x = a.as_real(), y = b.as_real();
  switch (op) {
    case BinaryOperator::add: return Value::real(x + y);
    case BinaryOperator::subtract: return Value::real(x - y);
    case BinaryOperator::multiply: return Value::real(x * y);
    case BinaryOperator::floor_divide: return Value::real(floor_divide(x, y));
    default: return Value::real(modulo(x, y));
  }
}

Value concatenate(Budget& budget, const Value& a, const Value& b) {
  if (a.is_string()) {
    // markupsafe: where one side is Markup, the other is escaped and the result is Markup.
    const bool markup = a.text().markup || b.text().markup;
    TextBuilder out(budget);
    for (const Value* side : {&a, &b}) {
      if (markup && !side->text().markup) {
        append_escaped(out, side->str());
      } else {
        out.append(side->str());
      }
    }
    return make_text(&budget, out.take(), markup);
  }
  const Values &left = a.items(), &right = b.items();
  budget.expect_room(left.size() + right.size(), sizeof(Value));
  budget.step(left.size() + right.size());
  Values items;
  items.reserve(left.size() + right.size());
  items.insert(items.end(), left.begin(), left.end());
  items.insert(items.end(), right.begin(), right.end());
  return a.kind() == Kind::list ? make_list(&budget, std::move(items)) : make_tuple(&budget, std::move(items));
}

Value repeat(Budget& budget, const Value& sequence, std::int64_t count) {
  const std::size_t times = count > 0 ? static_cast<std::size_t>(count) : 0;
  if (sequence.is_string()) {
    TextBuilder out(budget);
    out.repeat(sequence.str(), times);
    return make_text(&budget, out.take(), sequence.text().markup);
  }
  Values items;
  if (const Values& once = sequence.items(); !once.empty()) {
    budget.expect_room(times, once.size() * sizeof(Value));
    budget.step(times * once.size());
    items.reserve(times * once.size());
    for (std::size_t i = 0; i < times; ++i) items.insert(items.end(), once.begin(), once.end());
  }
  return sequence.kind() == Kind::list ? make_list(&budget, std::move(items)) : make_tuple(&budget, std::move(items));
}

bool repeatable(const Value& value) { return value.is_string() || value.is_sequence(); }

}  // namespace

std::int64_t checked_add(std::int64_t a, std::int64_t b) {
  std::int64_t out = 0;
  if (__builtin_add_overflow(a, b, &out)) fail_overflow();
  return out;
}
std::int64_t checked_multiply(std::int64_t a, std::int64_t b) {
  std::int64_t out = 0;
  if (__builtin_mul_overflow(a, b, &out)) fail_overflow();
  return out;
}

Value binary(Budget& budget, BinaryOperator op, const Value& a, const Value& b) {
  budget.step();
  if (a.is_number() && b.is_number()) return arithmetic(op, a, b);
  if (op == BinaryOperator::modulo && a.is_string()) return format_printf(budget, a, b);
  if (a.is_undefined()) fail_undefined(a);
  if (b.is_undefined()) fail_undefined(b);
  if (op == BinaryOperator::add && a.kind() == b.kind() && repeatable(a)) return concatenate(budget, a, b);
  if (op == BinaryOperator::multiply) {
    if (repeatable(a) && b.is_integral()) return repeat(budget, a, b.as_integer());
    if (repeatable(b) && a.is_integral()) return repeat(budget, b, a.as_integer());
  }
  fail("unsupported operand type(s) for " + std::string(symbol(op)) + ": '" + std::string(type_name(a)) + "' and '" +
       std::string(type_name(b)) + "'");
}

Value negate(const Value& value) {
  if (value.kind() == Kind::real) return Value::real(-value.as_real());
  if (!value.is_integral()) fail_type("bad operand type for unary -", value);
  if (value.as_integer() == kLowest) fail_overflow();
  return Value::integer(-value.as_integer());
}

Value positive(const Value& value) {
  if (value.kind() == Kind::real) return value;
  if (!value.is_integral()) fail_type("bad operand type for unary +", value);
  return Value::integer(value.as_integer());
}

}  // namespace powerhouse::jinja
