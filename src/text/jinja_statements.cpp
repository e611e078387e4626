// Statements and scopes of jinja_interpreter.h.
#include <algorithm>

#include "text/jinja_interpreter.h"
#include "text/jinja_strings.h"

namespace powerhouse::jinja {
namespace {

// Sends the output elsewhere while it lives.
class Redirect {
 public:
  Redirect(TextBuilder*& out, TextBuilder& to) : out_(out), before_(std::exchange(out, &to)) {}
  Redirect(const Redirect&) = delete;
  Redirect& operator=(const Redirect&) = delete;
  ~Redirect() { out_ = before_; }

 private:
  TextBuilder*& out_;
  TextBuilder* before_;
};

}  // namespace

std::string Interpreter::render(const Template& parsed) {
  TextBuilder text(budget_);
  const Redirect redirect(out_, text);
  written_ = &text;
  const ScopePtr scope = enter(parsed.frame, nullptr);
  execute(parsed.body, *scope);
  return text.take();
}

std::size_t Interpreter::written() {
  const std::string_view more = std::string_view(written_->text()).substr(counted_bytes_);
  budget_.step_bytes(more.size());
  counted_points_ += static_cast<std::size_t>(
      std::count_if(more.begin(), more.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
  counted_bytes_ += more.size();
  return counted_points_;
}

Interpreter::ScopePtr Interpreter::enter(const Frame& frame, Scope* outer) {
  auto scope = std::make_shared<Scope>();
  scope->outer = outer;
  load(frame, *scope);
  return scope;
}

void Interpreter::load(const Frame& frame, Scope& scope) {
  budget_.step(1 + frame.loads.size() / 8);
  scope.slots.assign(frame.loads.size(), Value());
  for (std::size_t i = 0; i < frame.loads.size(); ++i) {
    const Load& load = frame.loads[i];
    if (load.kind == LoadKind::context) scope.slots[i] = variable(load.name);
    if (load.kind == LoadKind::outer) {
      scope.slots[i] = scope_at(scope, load.source.hops).slots[load.source.slot];
    }
  }
}

Scope& Interpreter::scope_at(Scope& scope, std::uint32_t hops) {
  Scope* at = &scope;
  for (; hops > 0; --hops) at = at->outer;
  return *at;
}

void Interpreter::keep(Scope& scope) {
  for (Scope* at = &scope; at != nullptr && !at->kept; at = at->outer) {
    at->kept = true;
    budget_.hold(sizeof(Scope) + at->slots.size() * sizeof(Value));
    kept_scopes_.push_back(at->shared_from_this());
  }
}

Interpreter::Flow Interpreter::execute(const Block& block, Scope& scope) {
  for (const StatementPtr& statement : block) {
    const Flow flow = execute(*statement, scope);
    if (flow != Flow::normal) return flow;
  }
  return Flow::normal;
}

Interpreter::Flow Interpreter::execute(const Statement& statement, Scope& scope) {
  budget_.step();
  switch (statement.kind) {
    case StatementKind::text: out_->append(static_cast<const TextStatement&>(statement).text); return Flow::normal;
    case StatementKind::break_loop: return Flow::break_loop;
    case StatementKind::continue_loop: return Flow::continue_loop;
    default: break;
  }
  const DepthGuard guard(budget_);
  line_ = statement.line;
  switch (statement.kind) {
    case StatementKind::print: print(evaluate(*static_cast<const PrintStatement&>(statement).value, scope)); break;
    case StatementKind::condition: return execute_condition(static_cast<const ConditionStatement&>(statement), scope);
    case StatementKind::loop: return execute_loop(static_cast<const LoopStatement&>(statement), scope);
    case StatementKind::set: {
      const auto& node = static_cast<const SetStatement&>(statement);
      check_namespaces(node.target, scope);
      const Value value = evaluate(*node.value, scope);
      line_ = node.line;
      assign(node.target, value, scope);
      break;
    }
    case StatementKind::set_block: return execute_set_block(static_cast<const SetBlockStatement&>(statement), scope);
    case StatementKind::macro: execute_macro(static_cast<const MacroStatement&>(statement), scope); break;
    case StatementKind::call_block: execute_call_block(static_cast<const CallBlockStatement&>(statement), scope); break;
    case StatementKind::filter_block:
      return execute_filter_block(static_cast<const FilterBlockStatement&>(statement), scope);
    case StatementKind::with: return execute_with(static_cast<const WithStatement&>(statement), scope);
    default: break;
  }
  return Flow::normal;
}

void Interpreter::print(const Value& value) { append_string(budget_, *out_, value); }

// Unlike {{ }}, the blocks do not turn their result into text.
void Interpreter::write(const Value& value) {
  if (!value.is_string()) fail_type("the result of a filter or call block must be a string", value);
  out_->append(value.str());
}

Interpreter::Flow Interpreter::execute_condition(const ConditionStatement& node, Scope& scope) {
  for (const auto& [condition, body] : node.branches) {
    if (truthy(evaluate(*condition, scope))) return execute(body, scope);
  }
  return execute(node.otherwise, scope);
}

Interpreter::Flow Interpreter::execute_loop(const LoopStatement& node, Scope& scope) {
  const Value iterable = evaluate(*node.iterable, scope);
  line_ = node.line;
  if (!node.recursive) return run_loop(node, scope, iterable, 0);
  // A recursive loop is a function that returns its text.
  TextBuilder text(budget_);
  Flow flow = Flow::normal;
  {
    const Redirect redirect(out_, text);
    flow = run_loop(node, scope, iterable, 0);
  }
  out_->append(text.text());
  return flow;
}

// The elements that pass the loop's test, drawn one by one: the test may read what the body has changed.
std::function<bool(Value&)> Interpreter::filtered(const LoopStatement& node, Scope& scope, const Value& iterable) {
  return [this, &node, next = iterate(budget_, iterable), test = enter(node.test_frame, &scope)](Value& out) {
    for (Value element; next(element);) {
      assign(node.test_target, element, *test);
      if (truthy(evaluate(*node.test, *test))) {
        out = std::move(element);
        return true;
      }
    }
    return false;
  };
}

Interpreter::Flow Interpreter::run_loop(const LoopStatement& node, Scope& scope, const Value& iterable,
                                        std::size_t depth0) {
  std::function<bool(Value&)> next = node.test ? filtered(node, scope, iterable) : iterate(budget_, iterable);
  std::shared_ptr<Loop> loop;
  if (node.extended) {
    const auto length = node.test ? std::nullopt : length_of(iterable);
    loop = std::make_shared<Loop>(budget_, nest(iterable.depth()), std::move(next), length, depth0);
    next = [source = loop.get()](Value& out) {
      if (!source->advance()) return false;
      out = source->current;
      return true;
    };
    if (node.recursive) {
      loop->recursion = &node;
      loop->scope = &scope;
    }
  }
  // Whatever ends the loop, its variable must not reach back into this scope afterwards.
  struct Closer {
    Loop* loop;
    ~Closer() {
      if (loop != nullptr) loop->close();
    }
  } const closer{loop.get()};

  bool untouched = true;
  Flow left = Flow::normal;
  ScopePtr inner;
  for (Value element;;) {
    line_ = node.line;
    if (!next(element)) break;
    if (!inner || inner->kept) {
      inner = enter(node.frame, &scope);
    } else {
      load(node.frame, *inner);
    }
    if (loop) inner->slots[node.loop_variable.slot] = Value(Kind::loop, loop);
    assign(node.target, element, *inner);
    const Flow flow = execute(node.body, *inner);
    if (flow == Flow::break_loop) break;
    // jinja2 notes that the loop ran at the end of its body, which `continue` and `break` never reach.
    if (flow == Flow::normal) untouched = false;
  }
  if (untouched && !node.otherwise.empty()) {
    const ScopePtr otherwise = enter(node.otherwise_frame, &scope);
    left = execute(node.otherwise, *otherwise);
  }
  return left;
}

Value Interpreter::call_loop(Loop& loop, Arguments arguments) {
  if (loop.recursion == nullptr) fail("only the variable of a running recursive loop can be called");
  if (arguments.positional.size() != 1 || !arguments.keyword.empty()) fail("loop() takes exactly one argument");
  const DepthGuard guard(budget_);
  TextBuilder text(budget_);
  {
    const Redirect redirect(out_, text);
    run_loop(*loop.recursion, *loop.scope, arguments.positional[0], loop.depth0 + 1);
  }
  return make_text(&budget_, text.take());
}

Interpreter::Flow Interpreter::capture(const Block& body, Scope& scope, std::string& text) {
  TextBuilder builder(budget_);
  const Redirect redirect(out_, builder);
  const Flow flow = execute(body, scope);
  text = builder.take();
  return flow;
}

Interpreter::Flow Interpreter::execute_set_block(const SetBlockStatement& node, Scope& scope) {
  check_namespaces(node.target, scope);
  const ScopePtr inner = enter(node.frame, &scope);
  std::string text;
  const Flow flow = capture(node.body, *inner, text);
  if (flow != Flow::normal) return flow;
  Value value = make_text(&budget_, std::move(text));
  if (node.filter) {
    const Value* before = std::exchange(block_text_, &value);
    Value filtered = evaluate(*node.filter, *inner);
    block_text_ = before;
    value = std::move(filtered);
  }
  assign(node.target, value, scope);
  return Flow::normal;
}

Interpreter::Flow Interpreter::execute_filter_block(const FilterBlockStatement& node, Scope& scope) {
  const ScopePtr inner = enter(node.frame, &scope);
  std::string text;
  const Flow flow = capture(node.body, *inner, text);
  if (flow != Flow::normal) return flow;
  const Value value = make_text(&budget_, std::move(text));
  const Value* before = std::exchange(block_text_, &value);
  const Value filtered = evaluate(*node.filter, *inner);
  block_text_ = before;
  write(filtered);
  return Flow::normal;
}

Interpreter::Flow Interpreter::execute_with(const WithStatement& node, Scope& scope) {
  const ScopePtr inner = enter(node.frame, &scope);
  for (const auto& [target, value] : node.variables) assign(target, evaluate(*value, scope), *inner);
  return execute(node.body, *inner);
}

void Interpreter::check_namespaces(const Target& target, Scope& scope) {
  if (!target.attribute.empty()) {
    const Value& object = scope_at(scope, target.place.hops).slots[target.place.slot];
    if (object.kind() != Kind::name_space) fail("cannot assign attribute on non-namespace object");
  }
  for (const Target& item : target.items) check_namespaces(item, scope);
}

void Interpreter::assign(const Target& target, const Value& value, Scope& scope) {
  if (!target.attribute.empty()) return assign_attribute(target, value, scope);
  if (!target.name.empty()) {
    scope_at(scope, target.place.hops).slots[target.place.slot] = value;
    return;
  }
  const auto next = iterate(budget_, value);
  Value element;
  Values elements;
  for (; elements.size() < target.items.size() && next(element);) elements.push_back(element);
  if (elements.size() < target.items.size() || next(element)) {
    fail("the number of values to unpack is not " + std::to_string(target.items.size()));
  }
  for (std::size_t i = 0; i < elements.size(); ++i) assign(target.items[i], elements[i], scope);
}

void Interpreter::assign_attribute(const Target& target, const Value& value, Scope& scope) {
  const Value object = scope_at(scope, target.place.hops).slots[target.place.slot];
  if (object.kind() != Kind::name_space) fail("cannot assign attribute on non-namespace object");
  if (target.attribute.front() == '_') fail("chat templates cannot store underscore-prefixed attributes");
  auto& space = object.as<Namespace>();
  if (Value* found = space.find(target.attribute)) {
    *found = value;
  } else {
    budget_.step(1 + space.attributes.size() / 8);
    space.attributes.emplace_back(target.attribute, value);
  }
}

Value Interpreter::make_namespace(std::vector<std::pair<std::string, Value>> attributes) {
  auto space = std::make_shared<Namespace>();
  space->charge(&budget_, 160 + 64 * attributes.size());
  for (const auto& [key, value] : attributes) {
    if (key.starts_with('_')) fail("chat templates cannot store underscore-prefixed attributes");
  }
  space->attributes = std::move(attributes);
  kept_objects_.push_back(space);
  return Value(Kind::name_space, std::move(space));
}

}  // namespace powerhouse::jinja
