// The syntax tree of a template. The parser makes it, jinja_symbols resolves its names to slots, the interpreter walks
// it; after that it is never written, so any number of threads may render one template.
//
// Names are resolved once, by jinja2's own rules: each scope (template, loop body, macro, ...) is a Frame with numbered
// slots, and a name is a Place: so many frames out, that slot.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "text/jinja_operators.h"
#include "text/jinja_value.h"

namespace powerhouse::jinja {

struct Place {
  std::uint32_t hops = 0;  // frames outwards
  std::uint32_t slot = 0;
};

enum class ExprKind : std::uint8_t {
  constant,
  name,
  attribute,
  item,
  slice,
  call,
  filter,
  test,
  logical_not,
  negative,
  positive,
  binary,
  compare,
  concat,
  logical_and,
  logical_or,
  conditional,
  tuple,
  list,
  dict
};

struct Expr {
  Expr(ExprKind k, std::uint32_t l) : kind(k), line(l) {}
  Expr(const Expr&) = delete;
  Expr& operator=(const Expr&) = delete;
  virtual ~Expr() = default;

  ExprKind kind;
  std::uint32_t line;
  std::uint32_t depth = 1;  // of the tree below
};
using ExprPtr = std::unique_ptr<Expr>;

struct ConstantExpr : Expr {
  ConstantExpr(std::uint32_t l, Value v) : Expr(ExprKind::constant, l), value(std::move(v)) {}
  Value value;
};
struct NameExpr : Expr {
  NameExpr(std::uint32_t l, std::string n) : Expr(ExprKind::name, l), name(std::move(n)) {}
  std::string name;
  Place place;
};
struct AttributeExpr : Expr {
  using Expr::Expr;
  ExprPtr object;
  std::string name;
};
struct ItemExpr : Expr {
  using Expr::Expr;
  ExprPtr object, index;
};
struct SliceExpr : Expr {
  using Expr::Expr;
  ExprPtr object, start, stop, step;  // the last three may be null
};

struct CallArguments {
  std::vector<ExprPtr> positional;
  std::vector<std::pair<std::string, ExprPtr>> keyword;
  ExprPtr rest, keyword_rest;  // *args and **kwargs
};
struct CallExpr : Expr {
  using Expr::Expr;
  ExprPtr callee;
  CallArguments arguments;
};
/// `value | name(arguments)` or `value is name(arguments)`.
struct FilterExpr : Expr {
  using Expr::Expr;
  ExprPtr value;  // null in a filter block: the block's text
  std::string name;
  const Builtin* builtin = nullptr;  // null where unknown; that fails when it is reached
  CallArguments arguments;
};
/// not, unary - and +.
struct UnaryExpr : Expr {
  using Expr::Expr;
  ExprPtr operand;
};
struct BinaryExpr : Expr {
  using Expr::Expr;
  BinaryOperator op = BinaryOperator::add;
  ExprPtr left, right;
};
/// and, or.
struct LogicalExpr : Expr {
  using Expr::Expr;
  ExprPtr left, right;
};
/// a < b <= c: each operand is evaluated once.
struct CompareExpr : Expr {
  using Expr::Expr;
  ExprPtr first;
  std::vector<std::pair<CompareOperator, ExprPtr>> rest;
};
struct ConditionalExpr : Expr {
  using Expr::Expr;
  ExprPtr condition, then, otherwise;  // otherwise may be null
};
/// tuple, list, and the operands of ~.
struct SequenceExpr : Expr {
  using Expr::Expr;
  std::vector<ExprPtr> items;
};
struct DictExpr : Expr {
  using Expr::Expr;
  std::vector<std::pair<ExprPtr, ExprPtr>> items;
};

/// What an assignment writes: a name, an attribute of a namespace, or a tuple of targets.
struct Target {
  std::uint32_t line = 0;
  std::string name;       // empty in a tuple
  std::string attribute;  // of the namespace `name`; else empty
  std::vector<Target> items;
  Place place;  // of the name
};

/// The slots of one scope and how they are filled when it is entered.
enum class LoadKind : std::uint8_t { parameter, context, outer, unset };
struct Load {
  LoadKind kind = LoadKind::unset;
  std::string name;  // of a context variable
  Place source;      // of an outer one, counted from this frame
};
struct Frame {
  std::vector<std::string> names;  // by slot
  std::vector<Load> loads;         // by slot
};

enum class StatementKind : std::uint8_t {
  text,
  print,
  condition,
  loop,
  set,
  set_block,
  macro,
  call_block,
  filter_block,
  with,
  break_loop,
  continue_loop
};

struct Statement {
  Statement(StatementKind k, std::uint32_t l) : kind(k), line(l) {}
  Statement(const Statement&) = delete;
  Statement& operator=(const Statement&) = delete;
  virtual ~Statement() = default;

  StatementKind kind;
  std::uint32_t line;
};
using StatementPtr = std::unique_ptr<Statement>;
using Block = std::vector<StatementPtr>;

struct TextStatement : Statement {
  using Statement::Statement;
  std::string text;
};
struct PrintStatement : Statement {
  using Statement::Statement;
  ExprPtr value;
};
struct ConditionStatement : Statement {
  using Statement::Statement;
  std::vector<std::pair<ExprPtr, Block>> branches;  // if, elif, elif ...
  Block otherwise;
};
struct LoopStatement : Statement {
  using Statement::Statement;
  Target target;
  Target test_target;      // the same names in the frame of the test
  ExprPtr iterable, test;  // test may be null
  Block body, otherwise;
  bool recursive = false;
  bool extended = false;  // the body names `loop`
  Place loop_variable;
  Frame frame, test_frame, otherwise_frame;
};
struct SetStatement : Statement {
  using Statement::Statement;
  Target target;
  ExprPtr value;
};
struct SetBlockStatement : Statement {
  using Statement::Statement;
  Target target;
  ExprPtr filter;  // a chain of FilterExpr over the text; may be null
  Block body;
  Frame frame;
};

/// The callable part of a macro or call block.
struct MacroNode {
  std::string name;  // empty for a call block
  std::vector<Target> parameters;
  std::vector<ExprPtr> defaults;  // of the last parameters
  Block body;
  Frame frame;
  // The special variables the body names, and their slots.
  bool uses_caller = false, uses_kwargs = false, uses_varargs = false;
  Place caller, kwargs, varargs;
};
struct MacroStatement : Statement {
  using Statement::Statement;
  Target target;  // the name it is bound to
  MacroNode macro;
};
/// {% call(args) f(x) %}, and {% generation %} with no call.
struct CallBlockStatement : Statement {
  using Statement::Statement;
  ExprPtr call;  // a CallExpr; null in a generation block
  MacroNode macro;
};
struct FilterBlockStatement : Statement {
  using Statement::Statement;
  ExprPtr filter;
  Block body;
  Frame frame;
};
struct WithStatement : Statement {
  using Statement::Statement;
  std::vector<std::pair<Target, ExprPtr>> variables;
  Block body;
  Frame frame;
};

struct Template {
  Block body;
  Frame frame;
};

}  // namespace powerhouse::jinja
