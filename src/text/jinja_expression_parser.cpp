// The expression half of jinja_parser.h: one function a level of precedence, lowest first.
#include <algorithm>

#include "text/jinja_builtins.h"
#include "text/jinja_parser.h"
#include "text/jinja_strings.h"

namespace powerhouse::jinja {

ExpressionParser::Nesting::Nesting(ExpressionParser& parser) : parser_(parser) {
  if (parser.nesting_ >= kMaxParserDepth) parser.fail("nested too deeply");
  ++parser.nesting_;
}

bool ExpressionParser::skip_symbol(std::string_view symbol) {
  if (!current().is_symbol(symbol)) return false;
  advance();
  return true;
}
bool ExpressionParser::skip_name(std::string_view name) {
  if (!current().is_name(name)) return false;
  advance();
  return true;
}
void ExpressionParser::expect_symbol(std::string_view symbol) {
  if (!skip_symbol(symbol)) fail("expected '" + std::string(symbol) + "'");
}
void ExpressionParser::expect_name(std::string_view name) {
  if (!skip_name(name)) fail("expected '" + std::string(name) + "'");
}
const Token& ExpressionParser::expect(TokenKind kind) {
  if (current().kind != kind) {
    switch (kind) {
      case TokenKind::name: fail("expected a name");
      case TokenKind::block_end: fail("expected '%}'");
      case TokenKind::print_end: fail("expected '}}'");
      default: fail("unexpected token");
    }
  }
  return advance();
}

void ExpressionParser::fail(const std::string& message, const Token& at) const {
  std::string found;
  if (!message.starts_with("expected")) fail_at(source_, at.offset, message, false);
  if (at.kind == TokenKind::end) {
    found = ", found the end of the template";
  } else if (!at.text.empty() && at.kind != TokenKind::text) {
    found = ", found '" + at.text + "'";
  }
  fail_at(source_, at.offset, message + found, false);
}
void ExpressionParser::fail_unsupported(const std::string& message, const Token& at) const {
  fail_at(source_, at.offset, message, true);
}

void ExpressionParser::set_depth(Expr& node, std::initializer_list<const Expr*> children) const {
  for (const Expr* child : children) {
    if (child != nullptr) node.depth = std::max(node.depth, child->depth + 1);
  }
  if (node.depth > kMaxTreeDepth) fail("an expression that is too long");
}

ExprPtr ExpressionParser::parse_expression() {
  const Nesting nesting(*this);
  std::uint32_t line = current().line;
  ExprPtr value = parse_or();
  while (skip_name("if")) {
    auto node = std::make_unique<ConditionalExpr>(ExprKind::conditional, line);
    node->then = std::move(value);
    node->condition = parse_or();
    if (skip_name("else")) node->otherwise = parse_expression();
    set_depth(*node, {node->then.get(), node->condition.get(), node->otherwise.get()});
    value = std::move(node);
    line = current().line;
  }
  return value;
}

ExprPtr ExpressionParser::parse_or() {
  std::uint32_t line = current().line;
  ExprPtr left = parse_and();
  while (skip_name("or")) {
    auto node = std::make_unique<LogicalExpr>(ExprKind::logical_or, line);
    node->left = std::move(left);
    node->right = parse_and();
    set_depth(*node, {node->left.get(), node->right.get()});
    left = std::move(node);
    line = current().line;
  }
  return left;
}

ExprPtr ExpressionParser::parse_and() {
  std::uint32_t line = current().line;
  ExprPtr left = parse_not();
  while (skip_name("and")) {
    auto node = std::make_unique<LogicalExpr>(ExprKind::logical_and, line);
    node->left = std::move(left);
    node->right = parse_not();
    set_depth(*node, {node->left.get(), node->right.get()});
    left = std::move(node);
    line = current().line;
  }
  return left;
}

ExprPtr ExpressionParser::parse_not() {
  if (!current().is_name("not")) return parse_compare();
  const Nesting nesting(*this);
  auto node = std::make_unique<UnaryExpr>(ExprKind::logical_not, advance().line);
  node->operand = parse_not();
  set_depth(*node, {node->operand.get()});
  return node;
}

ExprPtr ExpressionParser::parse_compare() {
  static constexpr std::pair<std::string_view, CompareOperator> kOperators[] = {
      {"==", CompareOperator::equal},      {"!=", CompareOperator::not_equal}, {"<", CompareOperator::less},
      {"<=", CompareOperator::less_equal}, {">", CompareOperator::greater},    {">=", CompareOperator::greater_equal}};
  const std::uint32_t line = current().line;
  ExprPtr first = parse_sum();
  std::unique_ptr<CompareExpr> node;
  for (;;) {
    CompareOperator op = CompareOperator::in;
    const auto* found = std::find_if(std::begin(kOperators), std::end(kOperators),
                                     [this](const auto& entry) { return current().is_symbol(entry.first); });
    if (found != std::end(kOperators)) {
      op = found->second;
      advance();
    } else if (current().is_name("not") && following().is_name("in")) {
      op = CompareOperator::not_in;
      advance();
      advance();
    } else if (!skip_name("in")) {
      break;
    }
    if (!node) {
      node = std::make_unique<CompareExpr>(ExprKind::compare, line);
      node->first = std::move(first);
      set_depth(*node, {node->first.get()});
    }
    node->rest.emplace_back(op, parse_sum());
    set_depth(*node, {node->rest.back().second.get()});
  }
  if (node) return node;
  return first;
}

ExprPtr ExpressionParser::parse_sum() {
  std::uint32_t line = current().line;
  ExprPtr left = parse_concat();
  while (current().is_symbol("+") || current().is_symbol("-")) {
    auto node = std::make_unique<BinaryExpr>(ExprKind::binary, line);
    node->op = advance().text == "+" ? BinaryOperator::add : BinaryOperator::subtract;
    node->left = std::move(left);
    node->right = parse_concat();
    set_depth(*node, {node->left.get(), node->right.get()});
    left = std::move(node);
    line = current().line;
  }
  return left;
}

ExprPtr ExpressionParser::parse_concat() {
  const std::uint32_t line = current().line;
  ExprPtr first = parse_product();
  if (!current().is_symbol("~")) return first;
  auto node = std::make_unique<SequenceExpr>(ExprKind::concat, line);
  node->items.push_back(std::move(first));
  while (skip_symbol("~")) node->items.push_back(parse_product());
  for (const ExprPtr& item : node->items) set_depth(*node, {item.get()});
  return node;
}

ExprPtr ExpressionParser::parse_product() {
  static constexpr std::pair<std::string_view, BinaryOperator> kOperators[] = {{"*", BinaryOperator::multiply},
                                                                               {"/", BinaryOperator::divide},
                                                                               {"//", BinaryOperator::floor_divide},
                                                                               {"%", BinaryOperator::modulo}};
  std::uint32_t line = current().line;
  ExprPtr left = parse_power();
  for (;;) {
    const auto* found = std::find_if(std::begin(kOperators), std::end(kOperators),
                                     [this](const auto& entry) { return current().is_symbol(entry.first); });
    if (found == std::end(kOperators)) return left;
    advance();
    auto node = std::make_unique<BinaryExpr>(ExprKind::binary, line);
    node->op = found->second;
    node->left = std::move(left);
    node->right = parse_power();
    set_depth(*node, {node->left.get(), node->right.get()});
    left = std::move(node);
    line = current().line;
  }
}

// Groups to the left, unlike Python's own ** (jinja2 puts parentheses around each pair).
ExprPtr ExpressionParser::parse_power() {
  std::uint32_t line = current().line;
  ExprPtr left = parse_unary(true);
  while (skip_symbol("**")) {
    auto node = std::make_unique<BinaryExpr>(ExprKind::binary, line);
    node->op = BinaryOperator::power;
    node->left = std::move(left);
    node->right = parse_unary(true);
    set_depth(*node, {node->left.get(), node->right.get()});
    left = std::move(node);
    line = current().line;
  }
  return left;
}

ExprPtr ExpressionParser::parse_unary(bool with_filters) {
  ExprPtr value;
  if (current().is_symbol("-") || current().is_symbol("+")) {
    const Nesting nesting(*this);
    const Token& sign = advance();
    auto node = std::make_unique<UnaryExpr>(sign.text == "-" ? ExprKind::negative : ExprKind::positive, sign.line);
    node->operand = parse_unary(false);
    set_depth(*node, {node->operand.get()});
    value = std::move(node);
  } else {
    value = parse_primary();
  }
  value = parse_postfix(std::move(value));
  return with_filters ? parse_filters_and_tests(std::move(value)) : std::move(value);
}

ExprPtr ExpressionParser::parse_primary() {
  const Token& token = current();
  switch (token.kind) {
    case TokenKind::name: {
      advance();
      const std::string& name = token.text;
      if (name == "true" || name == "True" || name == "false" || name == "False") {
        return std::make_unique<ConstantExpr>(token.line, Value::boolean(name[0] == 't' || name[0] == 'T'));
      }
      if (name == "none" || name == "None") return std::make_unique<ConstantExpr>(token.line, Value::none());
      return std::make_unique<NameExpr>(token.line, name);
    }
    case TokenKind::string: {
      std::string text;
      while (current().kind == TokenKind::string) text += advance().text;  // neighbours join
      return std::make_unique<ConstantExpr>(token.line, make_text(nullptr, std::move(text)));
    }
    case TokenKind::integer:
      advance();
      return std::make_unique<ConstantExpr>(token.line, Value::integer(token.integer));
    case TokenKind::big_integer: {
      advance();
      Budget budget(token.text.size());
      const Value value = *parse_whole(budget, token.text, static_cast<int>(token.integer));
      return std::make_unique<ConstantExpr>(token.line, make_integer(nullptr, value.as_big()));
    }
    case TokenKind::real: advance(); return std::make_unique<ConstantExpr>(token.line, Value::real(token.real));
    default: break;
  }
  if (skip_symbol("(")) {
    ExprPtr value = parse_tuple(TupleEnd::parenthesis, true);
    expect_symbol(")");
    return value;
  }
  if (token.is_symbol("[")) return parse_list();
  if (token.is_symbol("{")) return parse_dict();
  fail("expected an expression");
}

bool ExpressionParser::tuple_ends(TupleEnd end) const {
  const Token& token = current();
  return token.kind == TokenKind::print_end || token.kind == TokenKind::block_end || token.is_symbol(")") ||
         (end == TupleEnd::recursive && token.is_name("recursive"));
}

ExprPtr ExpressionParser::parse_tuple(TupleEnd end, bool conditional) {
  const Nesting nesting(*this);
  auto tuple = std::make_unique<SequenceExpr>(ExprKind::tuple, current().line);
  bool is_tuple = false;
  for (;;) {
    if (!tuple->items.empty()) expect_symbol(",");
    if (tuple_ends(end)) break;
    tuple->items.push_back(conditional ? parse_expression() : parse_or());
    set_depth(*tuple, {tuple->items.back().get()});
    if (!current().is_symbol(",")) break;
    is_tuple = true;
  }
  if (!is_tuple && tuple->items.size() == 1) return std::move(tuple->items.front());
  if (!is_tuple && end != TupleEnd::parenthesis) fail("expected an expression");
  return tuple;
}

ExprPtr ExpressionParser::parse_list() {
  auto list = std::make_unique<SequenceExpr>(ExprKind::list, advance().line);
  while (!current().is_symbol("]")) {
    if (!list->items.empty()) expect_symbol(",");
    if (current().is_symbol("]")) break;
    list->items.push_back(parse_expression());
    set_depth(*list, {list->items.back().get()});
  }
  expect_symbol("]");
  return list;
}

ExprPtr ExpressionParser::parse_dict() {
  auto dict = std::make_unique<DictExpr>(ExprKind::dict, advance().line);
  while (!current().is_symbol("}")) {
    if (!dict->items.empty()) expect_symbol(",");
    if (current().is_symbol("}")) break;
    ExprPtr key = parse_expression();
    expect_symbol(":");
    ExprPtr value = parse_expression();
    set_depth(*dict, {key.get(), value.get()});
    dict->items.emplace_back(std::move(key), std::move(value));
  }
  expect_symbol("}");
  return dict;
}

}  // namespace powerhouse::jinja
