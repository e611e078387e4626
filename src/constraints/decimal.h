// Decimal: a number as its digits, for bounds that must hold to the last of them.
#pragma once

#include <compare>
#include <string>

#include "support/json.h"

namespace powerhouse::constraints {

struct Decimal {
  bool negative = false;
  std::string whole = "0";    // without leading zeros, "0" for none
  std::string fraction = "";  // without trailing zeros

  /// Of a JSON number.
  static Decimal of(const Json& number);
  bool is_zero() const { return whole == "0" && fraction.empty(); }
  Decimal negated() const { return {!negative && !is_zero(), whole, fraction}; }
};

std::strong_ordering compare(const Decimal& a, const Decimal& b);

struct Bound {
  Decimal value;
  bool exclusive = false;
};

}  // namespace powerhouse::constraints
