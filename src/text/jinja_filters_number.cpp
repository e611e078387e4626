// Filters over numbers, and `default`.
#include <cmath>
#include <cstdio>
#include <limits>

#include "text/jinja_builtins.h"
#include "text/jinja_operators.h"
#include "text/jinja_strings.h"

namespace powerhouse::jinja {
namespace {

Value default_value(BuiltinCall& call) {
  const bool replace = call.self.is_undefined() || (call.flag(1, false) && !truthy(call.self));
  if (!replace) return call.self;
  return call.has(0) ? call[0] : call.make("");
}

Value absolute(BuiltinCall& call) {
  if (!call.self.is_number()) fail_type("bad operand type for abs()", call.self);
  if (call.self.kind() == Kind::real) return Value::real(std::abs(call.self.as_real()));
  return call.self.as_big().negative() ? negate(call.budget, call.self) : positive(call.self);
}

Value truncated(Budget& budget, double value) { return make_integer(&budget, BigInteger::truncate(std::trunc(value))); }

Value to_integer(BuiltinCall& call) {
  Value otherwise = call.has(0) ? call[0] : Value::integer(0);
  switch (call.self.kind()) {
    case Kind::undefined: fail_undefined(call.self);
    case Kind::boolean:
    case Kind::integer:
    case Kind::big_integer: return positive(call.self);
    case Kind::real:
      if (std::isnan(call.self.as_real())) return otherwise;
      if (std::isinf(call.self.as_real())) fail("cannot convert float infinity to integer");
      return truncated(call.budget, call.self.as_real());
    case Kind::string: break;
    default: return otherwise;
  }
  const std::int64_t base = call.integer(1, 10);
  if (base == 0 || (base >= 2 && base <= 36)) {
    if (const auto value = parse_whole(call.budget, call.self.str(), static_cast<int>(base))) return *value;
  }
  const auto real = parse_float(call.self.str());
  return real && std::isfinite(*real) ? truncated(call.budget, *real) : otherwise;
}

Value to_real(BuiltinCall& call) {
  Value otherwise = call.has(0) ? call[0] : Value::real(0);
  if (call.self.is_undefined()) fail_undefined(call.self);
  if (call.self.is_number()) return Value::real(call.self.as_real());
  if (!call.self.is_string()) return otherwise;
  const auto value = parse_float(call.self.str());
  return value ? Value::real(*value) : otherwise;
}

// round(x, digits): to nearest, ties of the exact binary value to even, as printf rounds.
double round_to(double value, std::int64_t digits) {
  if (!std::isfinite(value) || digits > 323) return value;
  if (digits < -308) return 0 * value;
  if (digits < 0) {
    const double scale = std::pow(10.0, static_cast<double>(-digits));
    return std::nearbyint(value / scale) * scale;
  }
  char buffer[700];
  std::snprintf(buffer, sizeof buffer, "%.*f", static_cast<int>(digits), value);
  return std::strtod(buffer, nullptr);
}

std::int64_t round_integer(std::int64_t value, std::int64_t digits) {
  if (digits >= 0) return value;
  if (digits < -18) return 0;
  std::int64_t scale = 1;
  for (std::int64_t i = 0; i < -digits; ++i) scale *= 10;
  std::int64_t whole = value / scale, rest = std::abs(value % scale);
  const bool up = rest > scale / 2 || (rest == scale / 2 && whole % 2 != 0);
  if (up) whole += value < 0 ? -1 : 1;
  return checked_multiply(whole, scale);
}

Value round(BuiltinCall& call) {
  const std::int64_t precision = call.integer(0, 0);
  const std::string method = call.has(1) ? to_text(call.budget, call[1]).str() : "common";
  if (method != "common" && method != "ceil" && method != "floor") fail("method must be common, ceil or floor");
  if (!call.self.is_number()) fail_type("round takes a number", call.self);
  if (method == "common") {
    if (call.self.is_integral()) return Value::integer(round_integer(call.self.as_integer(), precision));
    if (call.self.is_whole() && precision >= 0) return call.self;
    if (call.self.is_whole()) fail(ErrorKind::unsupported, "rounding an integer beyond 64 bits to tens");
    return Value::real(round_to(call.self.as_real(), precision));
  }
  const double scale = std::pow(10.0, static_cast<double>(precision));
  const double scaled = call.self.as_real() * scale;
  if (!std::isfinite(scaled)) fail("cannot convert float infinity or NaN to integer");
  // Python's ceil() is an int, which has no -0.
  return Value::real(((method == "ceil" ? std::ceil(scaled) : std::floor(scaled)) + 0.0) / scale);
}

constexpr Builtin kNumberFilters[] = {
    {"abs", "/", absolute},
    {"d", "default_value? boolean?", default_value},
    {"default", "default_value? boolean?", default_value},
    {"float", "default?", to_real},
    {"int", "default? base?", to_integer},
    {"round", "precision? method?", round},
};

}  // namespace

std::span<const Builtin> number_filters() { return kNumberFilters; }

}  // namespace powerhouse::jinja
