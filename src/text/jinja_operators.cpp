#include "text/jinja_operators.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <compare>

#include "text/jinja_escape.h"
#include "text/jinja_strings.h"

namespace powerhouse::jinja {
namespace {

std::size_t mix(std::uint64_t x) {
  x += 0x9E3779B97F4A7C15u;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
  return static_cast<std::size_t>(x ^ (x >> 31));
}

// long double holds every 64-bit integer, so that 2**53 + 1 and 2.0**53 differ as they do in Python.
long double wide(const Value& value) {
  if (value.kind() == Kind::big_integer) return value.as<BigNumber>().value.to_long_double();
  return value.kind() == Kind::real ? static_cast<long double>(value.as_real())
                                    : static_cast<long double>(value.as_integer());
}

template <typename T>
bool ordered(CompareOperator op, const T& a, const T& b) {
  switch (op) {
    case CompareOperator::less: return a < b;
    case CompareOperator::less_equal: return a <= b;
    case CompareOperator::greater: return a > b;
    default: return a >= b;
  }
}

bool any_big(const Value& a, const Value& b) { return a.kind() == Kind::big_integer || b.kind() == Kind::big_integer; }

// Two numbers of which one is a big integer. Doubles of its size are whole, and smaller ones are far away.
std::partial_ordering compare_big(const Value& a, const Value& b) {
  for (const Value* side : {&a, &b}) {
    if (side->kind() != Kind::real || std::isfinite(side->as_real())) continue;
    return wide(a) <=> wide(b);
  }
  const auto whole = [](const Value& value) {
    return value.kind() == Kind::real ? BigInteger::truncate(value.as_real()) : value.as_big();
  };
  return whole(a) <=> whole(b);
}

std::string_view symbol(CompareOperator op) {
  switch (op) {
    case CompareOperator::less: return "<";
    case CompareOperator::less_equal: return "<=";
    case CompareOperator::greater: return ">";
    default: return ">=";
  }
}

bool order(Budget& budget, CompareOperator op, const Value& a, const Value& b) {
  budget.step();
  if (a.is_number() && b.is_number()) {
    if (any_big(a, b)) {
      const std::partial_ordering order = compare_big(a, b);
      return order != std::partial_ordering::unordered && ordered(op, order < 0 ? -1 : order > 0 ? 1 : 0, 0);
    }
    return ordered(op, wide(a), wide(b));
  }
  if (a.is_string() && b.is_string()) {
    budget.step_bytes(std::min(a.str().size(), b.str().size()));
    // UTF-8 sorts as its code points do.
    return ordered(op, a.str().compare(b.str()), 0);
  }
  if (a.is_sequence() && a.kind() == b.kind()) {
    const Values &left = a.items(), &right = b.items();
    const std::size_t common = std::min(left.size(), right.size());
    for (std::size_t i = 0; i < common; ++i) {
      if (!equal(budget, left[i], right[i])) return order(budget, op, left[i], right[i]);
    }
    return ordered(op, left.size(), right.size());
  }
  if (a.is_undefined()) fail_undefined(a);
  if (b.is_undefined()) fail_undefined(b);
  fail("'" + std::string(symbol(op)) + "' not supported between instances of '" + std::string(type_name(a)) +
       "' and '" + std::string(type_name(b)) + "'");
}

bool contains(Budget& budget, const Value& container, const Value& item) {
  switch (container.kind()) {
    case Kind::string:
      if (!item.is_string()) {
        fail("'in <string>' requires string as left operand, not " + std::string(type_name(item)));
      }
      budget.step_bytes(container.str().size());
      return find_text(container.str(), item.str(), 0) != std::string_view::npos;
    case Kind::dict: return container.mapping().find(budget, item) != nullptr;
    case Kind::view: {
      const View& view = container.as<View>();
      if (view.part == ViewPart::keys) return static_cast<const Mapping&>(*view.mapping).find(budget, item) != nullptr;
      break;
    }
    case Kind::range:
      if (item.is_number()) {
        const Range& range = container.as<Range>();
        const long double offset = wide(item) - static_cast<long double>(range.start);
        const long double at = offset / static_cast<long double>(range.step);
        return at >= 0 && at == std::floor(at) && at < static_cast<long double>(range.length());
      }
      return false;
    default: break;
  }
  const auto next = iterate(budget, container);
  for (Value element; next(element);) {
    if (equal(budget, element, item)) return true;
  }
  return false;
}

bool equal_mappings(Budget& budget, const Mapping& a, const Mapping& b) {
  if (a.entries.size() != b.entries.size()) return false;
  for (const auto& [key, value] : a.entries) {
    const Value* other = b.find(budget, key);
    if (other == nullptr || !equal(budget, value, *other)) return false;
  }
  return true;
}

// keys() and items() compare as sets; values() only with itself.
bool equal_views(Budget& budget, const View& a, const View& b) {
  if (a.part != b.part || a.part == ViewPart::values) return false;
  const auto& left = static_cast<const Mapping&>(*a.mapping);
  const auto& right = static_cast<const Mapping&>(*b.mapping);
  if (a.part == ViewPart::items) return equal_mappings(budget, left, right);
  if (left.entries.size() != right.entries.size()) return false;
  return std::all_of(left.entries.begin(), left.entries.end(),
                     [&](const auto& entry) { return right.find(budget, entry.first) != nullptr; });
}

bool equal_ranges(const Range& a, const Range& b) {
  if (a.length() != b.length()) return false;
  return a.length() == 0 || (a.start == b.start && (a.length() == 1 || a.step == b.step));
}

}  // namespace

void fail_undefined(const Value& value) { fail(value.as<UndefinedInfo>().message); }

void fail_type(std::string_view what, const Value& value) {
  if (value.is_undefined()) fail_undefined(value);
  fail(std::string(what) + ", not " + std::string(type_name(value)));
}

bool truthy(const Value& value) {
  switch (value.kind()) {
    case Kind::missing:
    case Kind::undefined:
    case Kind::none: return false;
    case Kind::boolean:
    case Kind::integer: return value.as_integer() != 0;
    case Kind::real: return value.as_real() != 0;
    case Kind::iterator:
    case Kind::name_space:
    case Kind::callable:
    case Kind::loop: return true;
    default: return length_of(value).value_or(1) != 0;
  }
}

bool identical(const Value& a, const Value& b) {
  if (a.kind() != b.kind()) return false;
  switch (a.kind()) {
    case Kind::none: return true;
    case Kind::boolean:
    case Kind::integer: return a.as_integer() == b.as_integer();
    case Kind::real: return a.as_real() == b.as_real();
    default: return a.object() == b.object();
  }
}

bool equal(Budget& budget, const Value& a, const Value& b) {
  budget.step();
  if (a.is_number() && b.is_number()) return any_big(a, b) ? compare_big(a, b) == 0 : wide(a) == wide(b);
  if (a.kind() != b.kind()) return false;
  if (a.object() == b.object()) return true;
  switch (a.kind()) {
    case Kind::undefined: return true;
    case Kind::string:
      if (a.str().size() != b.str().size()) return false;
      budget.step_bytes(a.str().size());
      return a.str() == b.str();
    case Kind::list:
    case Kind::tuple: {
      const Values &left = a.items(), &right = b.items();
      if (left.size() != right.size()) return false;
      for (std::size_t i = 0; i < left.size(); ++i) {
        if (!equal(budget, left[i], right[i])) return false;
      }
      return true;
    }
    case Kind::dict: return equal_mappings(budget, a.mapping(), b.mapping());
    case Kind::view: return equal_views(budget, a.as<View>(), b.as<View>());
    case Kind::range: return equal_ranges(a.as<Range>(), b.as<Range>());
    case Kind::callable: {
      const Callable &left = a.as<Callable>(), &right = b.as<Callable>();
      return left.builtin != nullptr && left.builtin == right.builtin && identical(left.self, right.self);
    }
    default: return false;
  }
}

bool compare(Budget& budget, CompareOperator op, const Value& a, const Value& b) {
  switch (op) {
    case CompareOperator::equal: return equal(budget, a, b);
    case CompareOperator::not_equal: return !equal(budget, a, b);
    case CompareOperator::in: return contains(budget, b, a);
    case CompareOperator::not_in: return !contains(budget, b, a);
    default: return order(budget, op, a, b);
  }
}

std::size_t hash_text(std::string_view text) { return std::hash<std::string_view>{}(text); }

std::size_t hash_value(Budget& budget, const Value& value) {
  budget.step();
  switch (value.kind()) {
    case Kind::boolean:
    case Kind::integer: return mix(static_cast<std::uint64_t>(value.as_integer()));
    case Kind::real: {
      const double real = value.as_real();
      if (real == std::floor(real) && std::abs(real) < 9223372036854775808.0) {
        return mix(static_cast<std::uint64_t>(static_cast<std::int64_t>(real)));
      }
      return mix(std::bit_cast<std::uint64_t>(real));
    }
    case Kind::big_integer:  // as the double that may equal it
      budget.step_bytes(value.as<BigNumber>().value.limbs());
      return mix(std::bit_cast<std::uint64_t>(value.as<BigNumber>().value.to_double()));
    case Kind::string: budget.step_bytes(value.str().size()); return hash_text(value.str());
    case Kind::tuple: {
      std::size_t hash = 17;
      for (const Value& item : value.items()) hash = mix(hash * 31 + hash_value(budget, item));
      return hash;
    }
    case Kind::list:
    case Kind::dict:
    case Kind::view: fail("unhashable type: '" + std::string(type_name(value)) + "'");
    case Kind::range: return mix(value.as<Range>().length());
    case Kind::none:
    case Kind::undefined: return mix(static_cast<std::uint64_t>(value.kind()));
    default: return mix(std::bit_cast<std::uintptr_t>(value.object().get()));
  }
}

std::optional<std::size_t> length_of(const Value& value) {
  switch (value.kind()) {
    case Kind::undefined: return 0;
    case Kind::string: return value.text().length;
    case Kind::list:
    case Kind::tuple: return value.items().size();
    case Kind::dict: return value.mapping().entries.size();
    case Kind::view: return static_cast<const Mapping&>(*value.as<View>().mapping).entries.size();
    case Kind::range: return value.as<Range>().length();
    default: return std::nullopt;
  }
}

std::int64_t expect_integer(const Value& value, std::string_view what) {
  if (!value.is_integral()) fail_type(std::string(what) + " must be an integer", value);
  return value.as_integer();
}

}  // namespace powerhouse::jinja
