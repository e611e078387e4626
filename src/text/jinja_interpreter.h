// Runs a resolved template over its variables and collects the text.
//
// Scopes are made when a frame is entered and live as long as something refers to them; those that a macro closes over
// are kept until the end, as are namespaces and loops, and emptied then: no cycle outlives a rendering.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "text/jinja_ast.h"
#include "text/jinja_loop.h"
#include "text/jinja_value.h"

namespace powerhouse::jinja {

/// The slots of one entered frame.
struct Scope : std::enable_shared_from_this<Scope> {
  Scope* outer = nullptr;
  std::vector<Value> slots;
  bool kept = false;
};

class Interpreter {
 public:
  /// `variables` is a dict of everything the template sees beside the global functions. Both outlive the interpreter.
  Interpreter(Budget& budget, const Mapping& variables) : budget_(budget), variables_(variables) {}
  Interpreter(const Interpreter&) = delete;
  Interpreter& operator=(const Interpreter&) = delete;
  ~Interpreter();

  /// Throws Failure; line() then says where.
  std::string render(const Template& parsed);
  std::uint32_t line() const { return line_; }
  /// What {% generation %} blocks wrote: begin and end in code points, in the order in which they ended. A block counts
  /// from what the template itself had written, not from what a macro around it is writing: transformers' tracker.
  const std::vector<std::pair<std::size_t, std::size_t>>& generations() const { return generations_; }

  // What builtins need.
  Budget& budget() { return budget_; }
  /// object.name: attributes first, then items.
  Value get_attribute(const Value& object, const std::string& name);
  /// object[index]: items first, then attributes.
  Value get_item(const Value& object, const Value& index);
  /// The attribute alone; missing where the type has none of that name.
  Value find_attribute(const Value& object, std::string_view name);
  Value call(const Value& callee, Arguments arguments);
  Value apply_filter(const Value& name, const Value& value, Arguments arguments);
  bool apply_test(const Value& name, const Value& value, Arguments arguments);
  Value make_namespace(std::vector<std::pair<std::string, Value>> attributes);
  /// Remembers a loop whose changed() may have closed a cycle.
  void keep(const std::shared_ptr<Object>& loop) { kept_objects_.push_back(loop); }

 private:
  enum class Flow : std::uint8_t { normal, break_loop, continue_loop };
  using ScopePtr = std::shared_ptr<Scope>;

  // Expressions.
  Value evaluate(const Expr& expr, Scope& scope);
  Value evaluate_name(const NameExpr& expr, Scope& scope);
  Value evaluate_operator(const Expr& expr, Scope& scope);
  Value evaluate_slice(const SliceExpr& expr, Scope& scope);
  /// `caller` is passed on by a call block; else missing.
  Value evaluate_call(const CallExpr& expr, Scope& scope, const Value& caller);
  Value evaluate_filter(const FilterExpr& expr, Scope& scope);
  Value evaluate_compare(const CompareExpr& expr, Scope& scope);
  Value evaluate_conditional(const ConditionalExpr& expr, Scope& scope);
  Value evaluate_sequence(const SequenceExpr& expr, Scope& scope);
  Value evaluate_dict(const DictExpr& expr, Scope& scope);
  Arguments evaluate_arguments(const CallArguments& arguments, Scope& scope);

  // Statements.
  Flow execute(const Block& block, Scope& scope);
  Flow execute(const Statement& statement, Scope& scope);
  Flow execute_condition(const ConditionStatement& node, Scope& scope);
  Flow execute_loop(const LoopStatement& node, Scope& scope);
  /// The code points that the template has written, texts under construction aside.
  std::size_t written();
  Flow run_loop(const LoopStatement& node, Scope& scope, const Value& iterable, std::size_t depth0);
  std::function<bool(Value&)> filtered(const LoopStatement& node, Scope& scope, const Value& iterable);
  Flow execute_set_block(const SetBlockStatement& node, Scope& scope);
  void execute_macro(const MacroStatement& node, Scope& scope);
  void execute_call_block(const CallBlockStatement& node, Scope& scope);
  Flow execute_filter_block(const FilterBlockStatement& node, Scope& scope);
  Flow execute_with(const WithStatement& node, Scope& scope);
  /// The body's text goes to `text`, not to the output.
  Flow capture(const Block& body, Scope& scope, std::string& text);
  void print(const Value& value);
  void write(const Value& value);

  // Scopes and assignment.
  ScopePtr enter(const Frame& frame, Scope* outer);
  void load(const Frame& frame, Scope& scope);
  static Scope& scope_at(Scope& scope, std::uint32_t hops);
  void check_namespaces(const Target& target, Scope& scope);
  void assign(const Target& target, const Value& value, Scope& scope);
  void assign_attribute(const Target& target, const Value& value, Scope& scope);
  Value variable(const std::string& name);
  void keep(Scope& scope);

  Value make_macro(const MacroNode& macro, Scope& scope);
  Value call_macro(const Callable& callable, Arguments arguments);
  Value call_loop(Loop& loop, Arguments arguments);

  Budget& budget_;
  const Mapping& variables_;
  TextBuilder* out_ = nullptr;
  const TextBuilder* written_ = nullptr;  // the output of the template itself
  std::size_t counted_bytes_ = 0, counted_points_ = 0;
  std::vector<std::pair<std::size_t, std::size_t>> generations_;
  std::uint32_t line_ = 1;
  const Value* block_text_ = nullptr;  // what a filter block or filtered set block filters
  std::vector<ScopePtr> kept_scopes_;
  std::vector<std::shared_ptr<Object>> kept_objects_;
};

}  // namespace powerhouse::jinja
