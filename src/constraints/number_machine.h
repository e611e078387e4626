// Numbers between two others, digit by digit.
#pragma once

#include <cstdint>
#include <optional>

#include "constraints/decimal.h"
#include "constraints/grammar.h"

namespace powerhouse::constraints {

struct NumberBounds {
  std::optional<Bound> low{}, high{};
  bool whole = false;            // no fraction
  std::int64_t multiple_of = 1;  // of whole numbers
};

/// JSON numbers within bounds, without exponents: up to 16 digits where nothing bounds them, and with a fraction up to
/// 15 digits in all, so that a double tells any two of them apart. Error{range} where that takes too many states.
ExprId number_between(Grammar& grammar, const NumberBounds& bounds);

}  // namespace powerhouse::constraints
