// map, select, reject and their kin: lazy, as in jinja2, so that an error in them waits until they are walked.
#include "text/jinja_builtins.h"
#include "text/jinja_filter_support.h"
#include "text/jinja_interpreter.h"
#include "text/jinja_operators.h"

namespace powerhouse::jinja {
namespace {

// The elements of a value that is true at all; none and undefined have none.
std::function<bool(Value&)> elements(Budget& budget, const Value& value) {
  if (!truthy(value)) return [](Value&) { return false; };
  return iterate(budget, value);
}

// `transform` turns an element into a result in place, or refuses it. Made on the first step, for its errors.
using Transform = std::function<bool(Value&)>;
Value generate(BuiltinCall& call, std::function<Transform()> prepare) {
  return make_iterator(&call.budget, held_depth(call),
                       [&budget = call.budget, self = call.self, prepare = std::move(prepare), transform = Transform(),
                        next = std::function<bool(Value&)>()](Value& out) mutable {
                         if (!next) {
                           next = elements(budget, self);
                           if (truthy(self)) transform = prepare();
                         }
                         const DepthGuard guard(budget);
                         while (next(out)) {
                           if (transform(out)) return true;
                         }
                         return false;
                       });
}

Transform map_attribute(Interpreter& interpreter, const Arguments& arguments) {
  Value path, otherwise;
  for (const auto& [name, value] : arguments.keyword) {
    if (name == "attribute") {
      path = value;
    } else if (name == "default") {
      otherwise = value;
    } else {
      fail("Unexpected keyword argument '" + name + "'");
    }
  }
  return [&interpreter, otherwise, path = AttributePath(interpreter.budget(), path)](Value& item) {
    item = path(interpreter, item, otherwise);
    return true;
  };
}

bool has_keyword(const Arguments& arguments, std::string_view wanted) {
  for (const auto& [name, value] : arguments.keyword) {
    if (name == wanted) return true;
  }
  return false;
}

Value map(BuiltinCall& call) {
  return generate(call, [&interpreter = call.interpreter, arguments = call.rest]() -> Transform {
    if (arguments.positional.empty() && has_keyword(arguments, "attribute")) {
      return map_attribute(interpreter, arguments);
    }
    if (arguments.positional.empty()) fail("map requires a filter argument");
    return [&interpreter, arguments](Value& item) {
      Arguments rest{.positional = {arguments.positional.begin() + 1, arguments.positional.end()},
                     .keyword = arguments.keyword};
      item = interpreter.apply_filter(arguments.positional.front(), item, std::move(rest));
      return true;
    };
  });
}

template <bool by_attribute, bool wanted>
Value select(BuiltinCall& call) {
  return generate(call, [&interpreter = call.interpreter, arguments = call.rest]() -> Transform {
    constexpr std::size_t kFirst = by_attribute ? 1 : 0;
    if (arguments.positional.size() < kFirst) fail("Missing parameter for attribute name");
    const Value attribute = by_attribute ? arguments.positional[0] : Value();
    return [&interpreter, arguments, path = AttributePath(interpreter.budget(), attribute)](Value& item) {
      const Value tested = by_attribute ? path(interpreter, item) : item;
      if (arguments.positional.size() == kFirst) return truthy(tested) == wanted;
      Arguments rest{.positional = {arguments.positional.begin() + kFirst + 1, arguments.positional.end()},
                     .keyword = arguments.keyword};
      return interpreter.apply_test(arguments.positional[kFirst], tested, std::move(rest)) == wanted;
    };
  });
}

constexpr Builtin kSelectFilters[] = {
    {"map", "* **", map},
    {"reject", "* **", select<false, false>},
    {"rejectattr", "* **", select<true, false>},
    {"select", "* **", select<false, true>},
    {"selectattr", "* **", select<true, true>},
};

}  // namespace

std::span<const Builtin> select_filters() { return kSelectFilters; }

}  // namespace powerhouse::jinja
