// Tests: what may follow `is`.
#include "text/jinja_builtins.h"
#include "text/jinja_operators.h"
#include "text/jinja_strings.h"

namespace powerhouse::jinja {
namespace {

template <typename Check>
Value answer(Check&& check) {
  return Value::boolean(check);
}

Value defined(BuiltinCall& call) { return answer(!call.self.is_undefined()); }
Value undefined(BuiltinCall& call) { return answer(call.self.is_undefined()); }
Value none(BuiltinCall& call) { return answer(call.self.is_none()); }
Value is_string(BuiltinCall& call) { return answer(call.self.is_string()); }
Value mapping(BuiltinCall& call) { return answer(call.self.kind() == Kind::dict); }
Value boolean(BuiltinCall& call) { return answer(call.self.kind() == Kind::boolean); }
Value is_true(BuiltinCall& call) { return answer(call.self.kind() == Kind::boolean && call.self.as_boolean()); }
Value is_false(BuiltinCall& call) { return answer(call.self.kind() == Kind::boolean && !call.self.as_boolean()); }
Value integer(BuiltinCall& call) { return answer(call.self.is_whole() && call.self.kind() != Kind::boolean); }
Value real(BuiltinCall& call) { return answer(call.self.kind() == Kind::real); }
Value number(BuiltinCall& call) { return answer(call.self.is_number()); }
Value iterable(BuiltinCall& call) { return answer(is_iterable(call.self)); }
Value same_as(BuiltinCall& call) { return answer(identical(call.self, call[0])); }
Value escaped(BuiltinCall& call) { return answer(call.self.is_string() && call.self.text().markup); }

// len() and subscription: a dict counts, and so does jinja2's Undefined.
Value sequence(BuiltinCall& call) {
  switch (call.self.kind()) {
    case Kind::undefined:
    case Kind::string:
    case Kind::list:
    case Kind::tuple:
    case Kind::dict:
    case Kind::range: return answer(true);
    default: return answer(false);
  }
}

Value callable(BuiltinCall& call) {
  const Kind kind = call.self.kind();
  return answer(kind == Kind::callable || kind == Kind::loop || kind == Kind::undefined);
}

Value is_lower(BuiltinCall& call) { return answer(is_lower_case(call.budget, to_text(call.budget, call.self).str())); }
Value is_upper(BuiltinCall& call) { return answer(is_upper_case(call.budget, to_text(call.budget, call.self).str())); }

Value remainder_is(BuiltinCall& call, const Value& divisor, std::int64_t wanted) {
  const Value rest = binary(call.budget, BinaryOperator::modulo, call.self, divisor);
  return answer(equal(call.budget, rest, Value::integer(wanted)));
}
Value odd(BuiltinCall& call) { return remainder_is(call, Value::integer(2), 1); }
Value even(BuiltinCall& call) { return remainder_is(call, Value::integer(2), 0); }
Value divisible_by(BuiltinCall& call) { return remainder_is(call, call[0], 0); }

Value is_filter(BuiltinCall& call) { return answer(call.self.is_string() && find_filter(call.self.str()) != nullptr); }
Value is_test(BuiltinCall& call) { return answer(call.self.is_string() && find_test(call.self.str()) != nullptr); }

template <CompareOperator op>
Value compared(BuiltinCall& call) {
  return answer(compare(call.budget, op, call.self, call[0]));
}

constexpr Builtin kTests[] = {
    {"boolean", "", boolean},
    {"callable", "/", callable},
    {"defined", "", defined},
    {"divisibleby", "num", divisible_by},
    {"escaped", "", escaped},
    {"even", "", even},
    {"false", "", is_false},
    {"filter", "", is_filter},
    {"float", "", real},
    {"in", "seq", compared<CompareOperator::in>},
    {"integer", "", integer},
    {"iterable", "", iterable},
    {"lower", "", is_lower},
    {"mapping", "", mapping},
    {"none", "", none},
    {"number", "", number},
    {"odd", "", odd},
    {"sameas", "other", same_as},
    {"sequence", "", sequence},
    {"string", "", is_string},
    {"test", "", is_test},
    {"true", "", is_true},
    {"undefined", "", undefined},
    {"upper", "", is_upper},
    {"!=", "other /", compared<CompareOperator::not_equal>},
    {"<", "other /", compared<CompareOperator::less>},
    {"<=", "other /", compared<CompareOperator::less_equal>},
    {"==", "other /", compared<CompareOperator::equal>},
    {">", "other /", compared<CompareOperator::greater>},
    {">=", "other /", compared<CompareOperator::greater_equal>},
    {"eq", "other /", compared<CompareOperator::equal>},
    {"equalto", "other /", compared<CompareOperator::equal>},
    {"ge", "other /", compared<CompareOperator::greater_equal>},
    {"greaterthan", "other /", compared<CompareOperator::greater>},
    {"gt", "other /", compared<CompareOperator::greater>},
    {"le", "other /", compared<CompareOperator::less_equal>},
    {"lessthan", "other /", compared<CompareOperator::less>},
    {"lt", "other /", compared<CompareOperator::less>},
    {"ne", "other /", compared<CompareOperator::not_equal>},
};

}  // namespace

std::span<const Builtin> tests() { return kTests; }

}  // namespace powerhouse::jinja
