// Expressions, attributes and calls of jinja_interpreter.h.
#include "text/jinja_interpreter.h"

#include <algorithm>

#include "text/jinja_builtins.h"
#include "text/jinja_strings.h"

namespace powerhouse::jinja {
namespace {

// Attributes that every Python object has; the sandbox shows none of them.
bool is_internal(std::string_view name) {
  constexpr std::string_view kInternal[] = {
      "__class__",   "__delattr__", "__dir__",           "__doc__",          "__eq__",
      "__format__",  "__ge__",      "__getattribute__",  "__getstate__",     "__gt__",
      "__hash__",    "__init__",    "__init_subclass__", "__le__",           "__lt__",
      "__ne__",      "__new__",     "__reduce__",        "__reduce_ex__",    "__repr__",
      "__setattr__", "__sizeof__",  "__str__",           "__subclasshook__", "__len__",
      "__getitem__", "__iter__",    "__contains__"};
  return name.starts_with("__") && std::find(std::begin(kInternal), std::end(kInternal), name) != std::end(kInternal);
}

Value bind(Budget& budget, const Builtin& builtin, const Value& self) {
  auto callable = std::make_shared<Callable>(nest(self.depth()));
  callable->charge(&budget, 160);
  callable->builtin = &builtin;
  callable->self = self;
  return Value(Kind::callable, std::move(callable));
}

std::string in_quotes(std::string_view name) { return "'" + std::string(name) + "'"; }

std::string object_name(const Value& value) {
  return value.is_none() ? "None" : std::string(type_name(value)) + " object";
}

}  // namespace

Interpreter::~Interpreter() {
  for (const ScopePtr& scope : kept_scopes_) scope->slots.clear();
  for (const auto& object : kept_objects_) {
    if (auto* space = dynamic_cast<Namespace*>(object.get())) space->attributes.clear();
    if (auto* loop = dynamic_cast<Loop*>(object.get())) loop->last_changed = Value();
  }
}

Value Interpreter::evaluate(const Expr& expr, Scope& scope) {
  budget_.step();
  line_ = expr.line;
  switch (expr.kind) {
    case ExprKind::constant: return static_cast<const ConstantExpr&>(expr).value;
    case ExprKind::name: return evaluate_name(static_cast<const NameExpr&>(expr), scope);
    default: break;
  }
  const DepthGuard guard(budget_);
  switch (expr.kind) {
    case ExprKind::attribute: {
      const auto& node = static_cast<const AttributeExpr&>(expr);
      const Value object = evaluate(*node.object, scope);
      line_ = expr.line;
      return get_attribute(object, node.name);
    }
    case ExprKind::item: {
      const auto& node = static_cast<const ItemExpr&>(expr);
      const Value object = evaluate(*node.object, scope);
      const Value index = evaluate(*node.index, scope);
      line_ = expr.line;
      return get_item(object, index);
    }
    case ExprKind::slice: return evaluate_slice(static_cast<const SliceExpr&>(expr), scope);
    case ExprKind::call: return evaluate_call(static_cast<const CallExpr&>(expr), scope, Value());
    case ExprKind::filter:
    case ExprKind::test: return evaluate_filter(static_cast<const FilterExpr&>(expr), scope);
    case ExprKind::compare: return evaluate_compare(static_cast<const CompareExpr&>(expr), scope);
    case ExprKind::conditional: return evaluate_conditional(static_cast<const ConditionalExpr&>(expr), scope);
    case ExprKind::concat:
    case ExprKind::tuple:
    case ExprKind::list: return evaluate_sequence(static_cast<const SequenceExpr&>(expr), scope);
    case ExprKind::dict: return evaluate_dict(static_cast<const DictExpr&>(expr), scope);
    default: return evaluate_operator(expr, scope);
  }
}

Value Interpreter::evaluate_name(const NameExpr& expr, Scope& scope) {
  const Value& value = scope_at(scope, expr.place.hops).slots[expr.place.slot];
  return value.is_missing() ? make_undefined(in_quotes(expr.name) + " is undefined") : value;
}

Value Interpreter::evaluate_operator(const Expr& expr, Scope& scope) {
  switch (expr.kind) {
    case ExprKind::logical_not:
      return Value::boolean(!truthy(evaluate(*static_cast<const UnaryExpr&>(expr).operand, scope)));
    case ExprKind::logical_and: {
      const auto& node = static_cast<const LogicalExpr&>(expr);
      Value left = evaluate(*node.left, scope);
      return truthy(left) ? evaluate(*node.right, scope) : left;
    }
    case ExprKind::logical_or: {
      const auto& node = static_cast<const LogicalExpr&>(expr);
      Value left = evaluate(*node.left, scope);
      return truthy(left) ? left : evaluate(*node.right, scope);
    }
    case ExprKind::binary: {
      const auto& node = static_cast<const BinaryExpr&>(expr);
      const Value left = evaluate(*node.left, scope);
      const Value right = evaluate(*node.right, scope);
      line_ = expr.line;
      return binary(budget_, node.op, left, right);
    }
    default: {
      const Value operand = evaluate(*static_cast<const UnaryExpr&>(expr).operand, scope);
      line_ = expr.line;
      return expr.kind == ExprKind::negative ? negate(budget_, operand) : positive(operand);
    }
  }
}

Value Interpreter::evaluate_slice(const SliceExpr& expr, Scope& scope) {
  const Value object = evaluate(*expr.object, scope);
  const auto bound = [&](const ExprPtr& part) { return part ? evaluate(*part, scope) : Value(); };
  const Value start = bound(expr.start), stop = bound(expr.stop), step = bound(expr.step);
  line_ = expr.line;
  return slice(budget_, object, start, stop, step);
}

Value Interpreter::evaluate_compare(const CompareExpr& expr, Scope& scope) {
  Value left = evaluate(*expr.first, scope);
  for (const auto& [op, operand] : expr.rest) {
    Value right = evaluate(*operand, scope);
    line_ = expr.line;
    if (!compare(budget_, op, left, right)) return Value::boolean(false);
    left = std::move(right);
  }
  return Value::boolean(true);
}

Value Interpreter::evaluate_conditional(const ConditionalExpr& expr, Scope& scope) {
  if (truthy(evaluate(*expr.condition, scope))) return evaluate(*expr.then, scope);
  if (expr.otherwise) return evaluate(*expr.otherwise, scope);
  return make_undefined("the inline if-expression on line " + std::to_string(expr.line) +
                        " evaluated to false and no else section was defined.");
}

Value Interpreter::evaluate_sequence(const SequenceExpr& expr, Scope& scope) {
  if (expr.kind == ExprKind::concat) {
    TextBuilder out(budget_);
    for (const ExprPtr& item : expr.items) append_string(budget_, out, evaluate(*item, scope));
    return make_text(&budget_, out.take());
  }
  Values items;
  items.reserve(expr.items.size());
  for (const ExprPtr& item : expr.items) items.push_back(evaluate(*item, scope));
  return expr.kind == ExprKind::list ? make_list(&budget_, std::move(items)) : make_tuple(&budget_, std::move(items));
}

Value Interpreter::evaluate_dict(const DictExpr& expr, Scope& scope) {
  auto mapping = std::make_shared<Mapping>();
  for (const auto& [key, value] : expr.items) {
    const Value name = evaluate(*key, scope);
    mapping->set(budget_, name, evaluate(*value, scope));
  }
  return make_dict(&budget_, std::move(mapping));
}

Arguments Interpreter::evaluate_arguments(const CallArguments& arguments, Scope& scope) {
  Arguments out;
  out.positional.reserve(arguments.positional.size());
  for (const ExprPtr& item : arguments.positional) out.positional.push_back(evaluate(*item, scope));
  if (arguments.rest) {
    for (Value& item : collect(budget_, evaluate(*arguments.rest, scope))) out.positional.push_back(std::move(item));
  }
  for (const auto& [name, item] : arguments.keyword) out.keyword.emplace_back(name, evaluate(*item, scope));
  if (arguments.keyword_rest) {
    const Value more = evaluate(*arguments.keyword_rest, scope);
    if (more.kind() != Kind::dict) fail_type("the argument after ** must be a mapping", more);
    for (const auto& [key, value] : more.mapping().entries) {
      if (!key.is_string()) fail_type("keywords must be strings", key);
      const auto same = [&key = key](const auto& given) { return given.first == key.str(); };
      if (std::any_of(out.keyword.begin(), out.keyword.end(), same)) {
        fail("multiple values for the keyword argument " + in_quotes(key.str()));
      }
      budget_.step(1 + out.keyword.size() / 8);
      out.keyword.emplace_back(key.str(), value);
    }
  }
  return out;
}

Value Interpreter::evaluate_call(const CallExpr& expr, Scope& scope, const Value& caller) {
  const auto arguments = [&] {
    Arguments out = evaluate_arguments(expr.arguments, scope);
    if (!caller.is_missing()) out.keyword.emplace_back("caller", caller);
    line_ = expr.line;
    return out;
  };
  if (expr.callee->kind == ExprKind::attribute) {
    // A method is called without making an object of it first.
    const auto& node = static_cast<const AttributeExpr&>(*expr.callee);
    const Value object = evaluate(*node.object, scope);
    line_ = expr.line;
    const Builtin* method = object.is_undefined() ? nullptr : find_method(object.kind(), node.name);
    if (method != nullptr && !method->unsafe) return call_builtin(*this, *method, object, arguments());
    const Value callee = get_attribute(object, node.name);
    return call(callee, arguments());
  }
  const Value callee = evaluate(*expr.callee, scope);
  return call(callee, arguments());
}

Value Interpreter::evaluate_filter(const FilterExpr& expr, Scope& scope) {
  const Value value = expr.value ? evaluate(*expr.value, scope) : *block_text_;
  if (expr.builtin == nullptr) {
    line_ = expr.line;
    const std::string kind = expr.kind == ExprKind::filter ? "filter" : "test";
    fail(ErrorKind::unsupported, "no " + kind + " named " + in_quotes(expr.name));
  }
  Arguments arguments = evaluate_arguments(expr.arguments, scope);
  line_ = expr.line;
  return call_builtin(*this, *expr.builtin, value, std::move(arguments));
}

Value Interpreter::find_attribute(const Value& object, std::string_view name) {
  if (object.is_undefined()) fail_undefined(object);
  const auto unsafe = [&] {
    return make_undefined("access to attribute " + in_quotes(name) + " of " + in_quotes(type_name(object)) +
                          " object is unsafe.");
  };
  if (is_internal(name)) return unsafe();
  switch (object.kind()) {
    case Kind::name_space: {
      const Value* found = object.as<Namespace>().find(name);
      return found != nullptr ? *found : Value();
    }
    case Kind::loop: {
      Value found = object.as<Loop>().attribute(name);
      if (!found.is_missing()) return found;
      break;
    }
    case Kind::tuple:
      if (object.as<Sequence>().grouped && (name == "grouper" || name == "list")) {
        return object.items()[name == "list" ? 1 : 0];
      }
      break;
    case Kind::callable:
      if (const MacroNode* macro = object.as<Callable>().macro; macro != nullptr && name == "name") {
        return macro->name.empty() ? Value::none() : make_text(&budget_, macro->name);
      }
      break;
    default: break;
  }
  const Builtin* method = find_method(object.kind(), name);
  if (method == nullptr) return Value();
  return method->unsafe ? unsafe() : bind(budget_, *method, object);
}

Value Interpreter::get_attribute(const Value& object, const std::string& name) {
  Value found = find_attribute(object, name);
  if (!found.is_missing()) return found;
  if (object.kind() == Kind::dict) {
    if (const Value* item = object.mapping().find(name)) return *item;
  }
  return make_undefined(in_quotes(object_name(object)) + " has no attribute " + in_quotes(name));
}

Value Interpreter::get_item(const Value& object, const Value& index) {
  Value found = subscript(budget_, object, index);
  if (!found.is_missing()) return found;
  if (index.is_string()) {
    found = find_attribute(object, index.str());
    if (!found.is_missing()) return found;
    return make_undefined(in_quotes(object_name(object)) + " has no attribute " + in_quotes(index.str()));
  }
  if (!index.is_number()) return make_undefined(object_name(object) + " has no such element");
  TextBuilder shown(budget_);
  append_repr(budget_, shown, index);
  return make_undefined(object_name(object) + " has no element " + shown.text());
}

Value Interpreter::call(const Value& callee, Arguments arguments) {
  if (callee.kind() == Kind::loop) return call_loop(callee.as<Loop>(), std::move(arguments));
  if (callee.kind() != Kind::callable) fail_type("this is no function", callee);
  const Callable& callable = callee.as<Callable>();
  if (callable.macro != nullptr) return call_macro(callable, std::move(arguments));
  return call_builtin(*this, *callable.builtin, callable.self, std::move(arguments));
}

Value Interpreter::apply_filter(const Value& name, const Value& value, Arguments arguments) {
  if (!name.is_string()) fail_type("the name of a filter must be a string", name);
  const Builtin* filter = find_filter(name.str());
  if (filter == nullptr) fail(ErrorKind::unsupported, "no filter named " + in_quotes(name.str()));
  return call_builtin(*this, *filter, value, std::move(arguments));
}

bool Interpreter::apply_test(const Value& name, const Value& value, Arguments arguments) {
  if (!name.is_string()) fail_type("the name of a test must be a string", name);
  const Builtin* test = find_test(name.str());
  if (test == nullptr) fail(ErrorKind::unsupported, "no test named " + in_quotes(name.str()));
  return truthy(call_builtin(*this, *test, value, std::move(arguments)));
}

Value Interpreter::variable(const std::string& name) {
  if (const Value* found = variables_.find(name)) return *found;
  const Builtin* function = find_global(name);
  return function != nullptr ? bind(budget_, *function, Value()) : Value();
}

}  // namespace powerhouse::jinja
