// Tokens to a syntax tree: jinja2's grammar with the extensions that transformers loads (break, continue, generation).
//
// Split in two: ExpressionParser knows expressions, Parser (in jinja_parser.cpp) the statements around them.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "text/jinja_ast.h"
#include "text/jinja_lexer.h"

namespace powerhouse::jinja {

/// Parses and resolves a template. `source` is normalized. Throws Error{format, unsupported} with line and column.
std::unique_ptr<const Template> parse_template(std::string_view source);

/// A cursor over tokens with the expression grammar on it.
class ExpressionParser {
 public:
  explicit ExpressionParser(std::string_view source) : source_(source), tokens_(tokenize(source)) {}

 protected:
  // How a bare tuple ends, beside the end of its tag.
  enum class TupleEnd : std::uint8_t { tag, recursive, parenthesis };

  const Token& current() const { return tokens_[at_]; }
  const Token& following() const { return tokens_[at_ + 1 < tokens_.size() ? at_ + 1 : at_]; }
  const Token& advance() { return at_ + 1 < tokens_.size() ? tokens_[at_++] : tokens_[at_]; }
  bool skip_symbol(std::string_view symbol);
  bool skip_name(std::string_view name);
  void expect_symbol(std::string_view symbol);
  void expect_name(std::string_view name);
  const Token& expect(TokenKind kind);
  [[noreturn]] void fail(const std::string& message) const { fail(message, current()); }
  [[noreturn]] void fail(const std::string& message, const Token& at) const;
  [[noreturn]] void fail_unsupported(const std::string& message, const Token& at) const;

  ExprPtr parse_expression();  // with `a if b else c`
  ExprPtr parse_or();          // without
  ExprPtr parse_tuple(TupleEnd end, bool conditional);
  ExprPtr parse_filter_chain(ExprPtr value, bool started);
  CallArguments parse_call_arguments();

  /// One level of brackets or blocks while it lives.
  class Nesting {
   public:
    explicit Nesting(ExpressionParser& parser);
    Nesting(const Nesting&) = delete;
    Nesting& operator=(const Nesting&) = delete;
    ~Nesting() { --parser_.nesting_; }

   private:
    ExpressionParser& parser_;
  };

 private:
  ExprPtr parse_and();
  ExprPtr parse_not();
  ExprPtr parse_compare();
  ExprPtr parse_sum();
  ExprPtr parse_concat();
  ExprPtr parse_product();
  ExprPtr parse_power();
  ExprPtr parse_unary(bool with_filters);
  ExprPtr parse_postfix(ExprPtr value);
  ExprPtr parse_filters_and_tests(ExprPtr value);
  ExprPtr parse_primary();
  ExprPtr parse_list();
  ExprPtr parse_dict();
  ExprPtr parse_subscript(ExprPtr value);
  ExprPtr parse_slice(ExprPtr value, ExprPtr start, std::uint32_t line);
  ExprPtr parse_call(ExprPtr callee);
  ExprPtr parse_test(ExprPtr value);
  std::string parse_dotted_name();
  bool tuple_ends(TupleEnd end) const;
  // Sets the depth of a node from its children's; fails where the tree grows too deep.
  void set_depth(Expr& node, std::initializer_list<const Expr*> children) const;
  std::uint32_t arguments_depth(const CallArguments& arguments) const;

  std::string_view source_;
  std::vector<Token> tokens_;
  std::size_t at_ = 0;
  std::uint32_t nesting_ = 0;
};

}  // namespace powerhouse::jinja
