// Macros and call blocks of jinja_interpreter.h.
#include <algorithm>

#include "text/jinja_interpreter.h"
#include "text/jinja_strings.h"

namespace powerhouse::jinja {

void Interpreter::execute_macro(const MacroStatement& node, Scope& scope) {
  keep(scope);
  assign(node.target, make_macro(node.macro, scope), scope);
}

void Interpreter::execute_call_block(const CallBlockStatement& node, Scope& scope) {
  const Value caller = make_macro(node.macro, scope);
  const Value text = node.call ? evaluate_call(static_cast<const CallExpr&>(*node.call), scope, caller)
                               : call_macro(caller.as<Callable>(), {});
  if (!node.call) {
    const std::size_t begin = written();
    budget_.hold(sizeof generations_[0]);
    generations_.emplace_back(begin, begin + text.text().length);
  }
  // Someone stored it: what it closes over must last as long.
  if (caller.object().use_count() > 1) keep(scope);
  write(text);
}

Value Interpreter::make_macro(const MacroNode& macro, Scope& scope) {
  auto callable = std::make_shared<Callable>();
  callable->charge(&budget_, 160);
  callable->macro = &macro;
  callable->scope = &scope;
  return Value(Kind::callable, std::move(callable));
}

Value Interpreter::call_macro(const Callable& callable, Arguments arguments) {
  const DepthGuard guard(budget_);
  const MacroNode& macro = *callable.macro;
  const std::string name = macro.name.empty() ? "caller" : macro.name;
  const ScopePtr scope = enter(macro.frame, callable.scope);
  const auto take_keyword = [&arguments](std::string_view key) {
    const auto found = std::find_if(arguments.keyword.begin(), arguments.keyword.end(),
                                    [key](const auto& given) { return given.first == key; });
    if (found == arguments.keyword.end()) return Value();
    Value value = std::move(found->second);
    arguments.keyword.erase(found);
    return value;
  };
  const std::size_t count = macro.parameters.size();
  for (std::size_t i = 0; i < count; ++i) {
    Value& slot = scope->slots[macro.parameters[i].place.slot];
    if (i < arguments.positional.size()) {
      slot = arguments.positional[i];
    } else {
      slot = take_keyword(macro.parameters[i].name);
    }
  }
  if (macro.uses_caller) {
    const Value caller = take_keyword("caller");
    scope->slots[macro.caller.slot] =
        caller.is_missing() || caller.is_none() ? make_undefined("No caller defined") : caller;
  }
  if (macro.uses_kwargs) {
    auto mapping = std::make_shared<Mapping>();
    for (const auto& [key, value] : arguments.keyword) mapping->set(budget_, make_text(&budget_, key), value);
    scope->slots[macro.kwargs.slot] = make_dict(&budget_, std::move(mapping));
  } else if (!arguments.keyword.empty()) {
    fail("macro '" + name + "' takes no keyword argument '" + arguments.keyword.front().first + "'");
  }
  const bool more = arguments.positional.size() > count;
  if (macro.uses_varargs) {
    Values rest;
    if (more)
      rest.assign(arguments.positional.begin() + static_cast<std::ptrdiff_t>(count), arguments.positional.end());
    scope->slots[macro.varargs.slot] = make_tuple(&budget_, std::move(rest));
  } else if (more) {
    fail("macro '" + name + "' takes not more than " + std::to_string(count) + " argument(s)");
  }
  const std::size_t first_default = count - macro.defaults.size();
  for (std::size_t i = 0; i < count; ++i) {
    const Target& parameter = macro.parameters[i];
    if (!scope->slots[parameter.place.slot].is_missing()) continue;
    Value value = i >= first_default ? evaluate(*macro.defaults[i - first_default], *scope)
                                     : make_undefined("parameter '" + parameter.name + "' was not provided");
    scope->slots[parameter.place.slot] = std::move(value);
  }
  std::string text;
  capture(macro.body, *scope, text);
  return make_text(&budget_, std::move(text));
}

}  // namespace powerhouse::jinja
