// What follows a value in jinja_parser.h's grammar: attributes, subscripts, calls, filters and tests.
#include <algorithm>

#include "text/jinja_builtins.h"
#include "text/jinja_parser.h"

namespace powerhouse::jinja {

ExprPtr ExpressionParser::parse_postfix(ExprPtr value) {
  for (;;) {
    if (current().is_symbol(".") || current().is_symbol("[")) {
      value = parse_subscript(std::move(value));
    } else if (current().is_symbol("(")) {
      value = parse_call(std::move(value));
    } else {
      return value;
    }
  }
}

ExprPtr ExpressionParser::parse_filters_and_tests(ExprPtr value) {
  for (;;) {
    if (current().is_symbol("|")) {
      value = parse_filter_chain(std::move(value), false);
    } else if (current().is_name("is")) {
      value = parse_test(std::move(value));
    } else if (current().is_symbol("(")) {
      value = parse_call(std::move(value));
    } else {
      return value;
    }
  }
}

ExprPtr ExpressionParser::parse_subscript(ExprPtr value) {
  const std::uint32_t line = current().line;
  if (skip_symbol(".")) {
    const Token& token = advance();
    if (token.kind == TokenKind::name) {
      auto node = std::make_unique<AttributeExpr>(ExprKind::attribute, line);
      node->object = std::move(value);
      node->name = token.text;
      set_depth(*node, {node->object.get()});
      return node;
    }
    if (token.kind != TokenKind::integer) fail("expected a name or a number after '.'", token);
    auto node = std::make_unique<ItemExpr>(ExprKind::item, line);
    node->object = std::move(value);
    node->index = std::make_unique<ConstantExpr>(line, Value::integer(token.integer));
    set_depth(*node, {node->object.get()});
    return node;
  }
  advance();  // "["
  auto indices = std::make_unique<SequenceExpr>(ExprKind::tuple, line);
  while (!current().is_symbol("]")) {
    if (!indices->items.empty()) expect_symbol(",");
    ExprPtr start;
    if (!current().is_symbol(":")) start = parse_expression();
    if (current().is_symbol(":")) {
      if (!indices->items.empty()) fail("a slice inside a tuple of indices");
      return parse_slice(std::move(value), std::move(start), line);
    }
    indices->items.push_back(std::move(start));
    set_depth(*indices, {indices->items.back().get()});
  }
  advance();  // "]"
  auto node = std::make_unique<ItemExpr>(ExprKind::item, line);
  node->object = std::move(value);
  if (indices->items.size() == 1) {
    node->index = std::move(indices->items.front());
  } else {
    node->index = std::move(indices);
  }
  set_depth(*node, {node->object.get(), node->index.get()});
  return node;
}

ExprPtr ExpressionParser::parse_slice(ExprPtr value, ExprPtr start, std::uint32_t line) {
  const auto bound = [this]() -> ExprPtr {
    if (current().is_symbol("]") || current().is_symbol(":")) return nullptr;
    return parse_expression();
  };
  auto node = std::make_unique<SliceExpr>(ExprKind::slice, line);
  node->object = std::move(value);
  node->start = std::move(start);
  expect_symbol(":");
  node->stop = bound();
  if (skip_symbol(":")) node->step = bound();
  expect_symbol("]");
  set_depth(*node, {node->object.get(), node->start.get(), node->stop.get(), node->step.get()});
  return node;
}

std::uint32_t ExpressionParser::arguments_depth(const CallArguments& arguments) const {
  std::uint32_t depth = 0;
  for (const ExprPtr& item : arguments.positional) depth = std::max(depth, item->depth);
  for (const auto& [name, item] : arguments.keyword) depth = std::max(depth, item->depth);
  if (arguments.rest) depth = std::max(depth, arguments.rest->depth);
  if (arguments.keyword_rest) depth = std::max(depth, arguments.keyword_rest->depth);
  return depth;
}

CallArguments ExpressionParser::parse_call_arguments() {
  CallArguments out;
  const Token& open = current();
  const auto ensure = [&](bool right) {
    if (!right) fail("the arguments of a call are in the wrong order", open);
  };
  expect_symbol("(");
  bool comma = false;
  while (!current().is_symbol(")")) {
    if (comma) {
      expect_symbol(",");
      if (current().is_symbol(")")) break;
    }
    comma = true;
    if (skip_symbol("*")) {
      ensure(!out.rest && !out.keyword_rest);
      out.rest = parse_expression();
    } else if (skip_symbol("**")) {
      ensure(!out.keyword_rest);
      out.keyword_rest = parse_expression();
    } else if (current().kind == TokenKind::name && following().is_symbol("=")) {
      ensure(!out.keyword_rest);
      const Token& name = advance();
      advance();
      const auto same = [&name](const auto& given) { return given.first == name.text; };
      if (std::any_of(out.keyword.begin(), out.keyword.end(), same)) fail("a repeated keyword argument", name);
      out.keyword.emplace_back(name.text, parse_expression());
    } else {
      ensure(!out.rest && !out.keyword_rest && out.keyword.empty());
      out.positional.push_back(parse_expression());
    }
  }
  expect_symbol(")");
  return out;
}

ExprPtr ExpressionParser::parse_call(ExprPtr callee) {
  auto node = std::make_unique<CallExpr>(ExprKind::call, current().line);
  node->callee = std::move(callee);
  node->arguments = parse_call_arguments();
  node->depth = 1 + arguments_depth(node->arguments);
  set_depth(*node, {node->callee.get()});
  return node;
}

std::string ExpressionParser::parse_dotted_name() {
  std::string name = expect(TokenKind::name).text;
  while (skip_symbol(".")) name += "." + expect(TokenKind::name).text;
  return name;
}

// `started`: the name comes at once, without its "|" (a filter block).
ExprPtr ExpressionParser::parse_filter_chain(ExprPtr value, bool started) {
  while (started || skip_symbol("|")) {
    auto node = std::make_unique<FilterExpr>(ExprKind::filter, current().line);
    node->name = parse_dotted_name();
    node->builtin = find_filter(node->name);
    if (current().is_symbol("(")) node->arguments = parse_call_arguments();
    node->value = std::move(value);
    node->depth = 1 + arguments_depth(node->arguments);
    set_depth(*node, {node->value.get()});
    value = std::move(node);
    started = false;
  }
  return value;
}

ExprPtr ExpressionParser::parse_test(ExprPtr value) {
  const std::uint32_t line = advance().line;  // "is"
  const bool negated = skip_name("not");
  auto node = std::make_unique<FilterExpr>(ExprKind::test, line);
  node->name = parse_dotted_name();
  node->builtin = find_test(node->name);
  node->value = std::move(value);
  const Token& next = current();
  if (next.is_symbol("(")) {
    node->arguments = parse_call_arguments();
  } else {
    const bool literal = next.kind == TokenKind::name || next.kind == TokenKind::string ||
                         next.kind == TokenKind::integer || next.kind == TokenKind::big_integer ||
                         next.kind == TokenKind::real || next.is_symbol("[") || next.is_symbol("{");
    if (literal && !next.is_name("else") && !next.is_name("or") && !next.is_name("and")) {
      if (next.is_name("is")) fail("tests cannot be chained");
      node->arguments.positional.push_back(parse_postfix(parse_primary()));
    }
  }
  node->depth = 1 + arguments_depth(node->arguments);
  set_depth(*node, {node->value.get()});
  if (!negated) return node;
  auto inverse = std::make_unique<UnaryExpr>(ExprKind::logical_not, line);
  inverse->operand = std::move(node);
  set_depth(*inverse, {inverse->operand.get()});
  return inverse;
}

}  // namespace powerhouse::jinja
