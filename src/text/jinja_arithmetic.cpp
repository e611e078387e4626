// The arithmetic operators of jinja_operators.h: Python's rules for int, float, bool, and for sequences.
#include <cmath>
#include <limits>
#include <optional>

#include "text/jinja_escape.h"
#include "text/jinja_operators.h"
#include "text/jinja_printf.h"

namespace powerhouse::jinja {
namespace {

constexpr std::int64_t kLowest = std::numeric_limits<std::int64_t>::min();

[[noreturn]] void fail_overflow() { fail("Python int too large to convert to C ssize_t"); }
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

// a * b within the bounds of size and time.
BigInteger multiply(Budget& budget, const BigInteger& a, const BigInteger& b) {
  if (a.digits() + b.digits() > BigInteger::kMaxDigits + 1) {
    fail(ErrorKind::range, "an integer grows beyond 9000 digits");
  }
  budget.step(1 + a.limbs() * b.limbs() / 8);
  return a * b;
}

Value whole_power(Budget& budget, BigInteger base, std::int64_t exponent) {
  if (const auto small = base.small(); small && *small >= -1 && *small <= 1) {
    return exponent == 0 ? Value::integer(1) : Value::integer(*small == -1 && exponent % 2 == 0 ? 1 : *small);
  }
  BigInteger result(std::int64_t{1});
  for (; exponent > 0; exponent /= 2) {
    if (exponent % 2 != 0) result = multiply(budget, result, base);
    if (exponent > 1) base = multiply(budget, base, base);
  }
  return make_integer(&budget, std::move(result));
}

Value power(Budget& budget, const Value& a, const Value& b) {
  if (a.is_whole() && b.is_whole()) {
    const bool zero = a.is_integral() && a.as_integer() == 0;
    const bool negative = b.as_big().negative();
    if (negative && zero) fail("0.0 cannot be raised to a negative power");
    if (negative) return Value::real(std::pow(a.as_real(), b.as_real()));
    if (b.is_integral()) return whole_power(budget, a.as_big(), b.as_integer());
    const bool odd = BigInteger::divide(b.as_big(), BigInteger(std::int64_t{2})).second.small() != 0;
    return whole_power(budget, a.as_big(), odd ? 99999 : 100000);  // of 0, 1 and -1; else too large in any case
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

// Ints of which one, or the result, is beyond 64 bits.
Value big_arithmetic(Budget& budget, BinaryOperator op, const BigInteger& a, const BigInteger& b) {
  budget.step(1 + (a.limbs() + b.limbs()) / 8);
  switch (op) {
    case BinaryOperator::add: return make_integer(&budget, a + b);
    case BinaryOperator::subtract: return make_integer(&budget, a - b);
    case BinaryOperator::multiply: return make_integer(&budget, multiply(budget, a, b));
    default: break;
  }
  if (b.limbs() == 0) fail_zero();
  if (op == BinaryOperator::divide) {
    const auto quotient = static_cast<double>(a.to_long_double() / b.to_long_double());
    if (!std::isfinite(quotient)) fail("integer division result too large for a float");
    return Value::real(quotient);
  }
  budget.step(1 + (a.limbs() > b.limbs() ? (a.limbs() - b.limbs()) * b.limbs() / 4 : 0));
  auto [quotient, rest] = BigInteger::divide(a, b);
  return make_integer(&budget, op == BinaryOperator::floor_divide ? std::move(quotient) : std::move(rest));
}

// The result, or nothing where it has more than 64 bits.
std::optional<std::int64_t> small_arithmetic(BinaryOperator op, std::int64_t x, std::int64_t y) {
  std::int64_t out = 0;
  bool overflow = false;
  switch (op) {
    case BinaryOperator::add: overflow = __builtin_add_overflow(x, y, &out); break;
    case BinaryOperator::subtract: overflow = __builtin_sub_overflow(x, y, &out); break;
    case BinaryOperator::multiply: overflow = __builtin_mul_overflow(x, y, &out); break;
    case BinaryOperator::floor_divide:
      if (x == kLowest && y == -1) return std::nullopt;
      return floor_divide(x, y);
    default: return modulo(x, y);
  }
  if (overflow) return std::nullopt;
  return out;
}

Value arithmetic(Budget& budget, BinaryOperator op, const Value& a, const Value& b) {
  if (op == BinaryOperator::power) return power(budget, a, b);
  if (a.is_whole() && b.is_whole() && !(a.is_integral() && b.is_integral())) {
    return big_arithmetic(budget, op, a.as_big(), b.as_big());
  }
  if (op == BinaryOperator::divide) {
    if (b.as_real() == 0) fail_zero();
    if (!a.is_integral() || !b.is_integral()) return Value::real(a.as_real() / b.as_real());
    return Value::real(
        static_cast<double>(static_cast<long double>(a.as_integer()) / static_cast<long double>(b.as_integer())));
  }
  if (a.is_integral() && b.is_integral()) {
    const auto small = small_arithmetic(op, a.as_integer(), b.as_integer());
    return small ? Value::integer(*small) : big_arithmetic(budget, op, a.as_big(), b.as_big());
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
  if (a.is_number() && b.is_number()) return arithmetic(budget, op, a, b);
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

Value negate(Budget& budget, const Value& value) {
  if (value.kind() == Kind::real) return Value::real(-value.as_real());
  if (!value.is_whole()) fail_type("bad operand type for unary -", value);
  return make_integer(&budget, -value.as_big());
}

Value positive(const Value& value) {
  if (value.kind() == Kind::real || value.kind() == Kind::big_integer) return value;
  if (!value.is_integral()) fail_type("bad operand type for unary +", value);
  return Value::integer(value.as_integer());
}

}  // namespace powerhouse::jinja
