#include "text/jinja_filter_support.h"

#include <algorithm>

#include "text/jinja_interpreter.h"
#include "text/jinja_operators.h"
#include "text/jinja_strings.h"
#include "text/python_unicode.h"

namespace powerhouse::jinja {

AttributePath::AttributePath(Budget& budget, const Value& path) {
  if (path.is_missing() || path.is_none()) return;
  if (!path.is_string()) {
    parts_.push_back(path);
    return;
  }
  std::string_view rest = path.str();
  for (;;) {
    const std::size_t dot = rest.find('.');
    const std::string_view part = rest.substr(0, dot);
    const bool number = !part.empty() && part.find_first_not_of("0123456789") == std::string_view::npos;
    parts_.push_back(number ? Value::integer(*parse_integer(part, 10)) : make_text(&budget, std::string(part)));
    if (dot == std::string_view::npos) return;
    rest.remove_prefix(dot + 1);
  }
}

Value AttributePath::operator()(Interpreter& interpreter, Value item, const Value& otherwise) const {
  for (const Value& part : parts_) {
    item = interpreter.get_item(item, part);
    if (item.is_undefined() && !otherwise.is_missing() && !otherwise.is_none()) item = otherwise;
  }
  return item;
}

Value fold_case(Budget& budget, const Value& value, bool case_sensitive) {
  if (case_sensitive || !value.is_string()) return value;
  budget.step_characters(value.str().size());
  budget.expect_room(value.str().size(), 8);
  return make_text(&budget, python_unicode::to_lower(value.str()));
}

std::uint32_t held_depth(const BuiltinCall& call) {
  std::uint32_t depth = call.self.depth();
  for (const Value& value : call.values) depth = std::max(depth, value.depth());
  for (const Value& value : call.rest.positional) depth = std::max(depth, value.depth());
  for (const auto& [name, value] : call.rest.keyword) depth = std::max(depth, value.depth());
  return depth;
}

Value generate_later(BuiltinCall& call, std::function<Values()> make) {
  return make_iterator(
      &call.budget, held_depth(call),
      [&budget = call.budget, make = std::move(make), next = std::function<bool(Value&)>()](Value& out) mutable {
        if (!next) next = iterate(budget, make_list(&budget, make()));
        return next(out);
      });
}

Value call_text_method(BuiltinCall& call, std::string_view method) {
  const Value text = to_text(call.budget, call.self);
  Arguments arguments;
  for (const Value& value : call.values) {
    if (!value.is_missing()) arguments.positional.push_back(value);
  }
  return call_builtin(call.interpreter, *find_method(Kind::string, method), text, std::move(arguments));
}

}  // namespace powerhouse::jinja
