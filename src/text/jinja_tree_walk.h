// Ways through a syntax tree: the children of an expression, the names below it, and jinja2's two questions about a
// body: which special names does it read, and does it assign one.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "text/jinja_ast.h"

namespace powerhouse::jinja {

/// Calls `visit(Expr&)` for each direct child.
template <typename Visit>
void for_each_child(const CallArguments& arguments, Visit&& visit) {
  for (const ExprPtr& item : arguments.positional) visit(*item);
  for (const auto& [name, item] : arguments.keyword) visit(*item);
  if (arguments.rest) visit(*arguments.rest);
  if (arguments.keyword_rest) visit(*arguments.keyword_rest);
}

template <typename Visit>
void for_each_child(const Expr& expr, Visit&& visit) {
  const auto maybe = [&visit](const ExprPtr& child) {
    if (child) visit(*child);
  };
  switch (expr.kind) {
    case ExprKind::constant:
    case ExprKind::name: return;
    case ExprKind::attribute: return maybe(static_cast<const AttributeExpr&>(expr).object);
    case ExprKind::item: {
      const auto& node = static_cast<const ItemExpr&>(expr);
      maybe(node.object);
      return maybe(node.index);
    }
    case ExprKind::slice: {
      const auto& node = static_cast<const SliceExpr&>(expr);
      maybe(node.object);
      maybe(node.start);
      maybe(node.stop);
      return maybe(node.step);
    }
    case ExprKind::call: {
      const auto& node = static_cast<const CallExpr&>(expr);
      maybe(node.callee);
      return for_each_child(node.arguments, visit);
    }
    case ExprKind::filter:
    case ExprKind::test: {
      const auto& node = static_cast<const FilterExpr&>(expr);
      maybe(node.value);
      return for_each_child(node.arguments, visit);
    }
    case ExprKind::logical_not:
    case ExprKind::negative:
    case ExprKind::positive: return maybe(static_cast<const UnaryExpr&>(expr).operand);
    case ExprKind::binary: {
      const auto& node = static_cast<const BinaryExpr&>(expr);
      maybe(node.left);
      return maybe(node.right);
    }
    case ExprKind::logical_and:
    case ExprKind::logical_or: {
      const auto& node = static_cast<const LogicalExpr&>(expr);
      maybe(node.left);
      return maybe(node.right);
    }
    case ExprKind::compare: {
      const auto& node = static_cast<const CompareExpr&>(expr);
      maybe(node.first);
      for (const auto& [op, operand] : node.rest) maybe(operand);
      return;
    }
    case ExprKind::conditional: {
      const auto& node = static_cast<const ConditionalExpr&>(expr);
      maybe(node.condition);
      maybe(node.then);
      return maybe(node.otherwise);
    }
    case ExprKind::concat:
    case ExprKind::tuple:
    case ExprKind::list:
      for (const ExprPtr& item : static_cast<const SequenceExpr&>(expr).items) maybe(item);
      return;
    case ExprKind::dict:
      for (const auto& [key, value] : static_cast<const DictExpr&>(expr).items) {
        maybe(key);
        maybe(value);
      }
      return;
  }
}

/// Calls `visit(const NameExpr&)` for every name read below (and at) an expression.
template <typename Visit>
void walk_names(const Expr& expr, Visit&& visit) {
  if (expr.kind == ExprKind::name) return visit(static_cast<const NameExpr&>(expr));
  for_each_child(expr, [&visit](const Expr& child) { walk_names(child, visit); });
}

/// Those of `names` that the body reads before anything in it assigns them, frames inside included.
std::vector<std::string> undeclared_names(const Block& body, std::vector<std::string> names);

/// The line of the first assignment to `name` in a loop, its target included; parameters do not count.
std::optional<std::uint32_t> find_store(const LoopStatement& loop, std::string_view name);

}  // namespace powerhouse::jinja
